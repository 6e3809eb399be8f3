#include "objectives/energy.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>

#include "data/error.h"
#include "objectives/descent.h"
#include "objectives/next_token.h"
#include "trainer/kernels/random_rows.h"

namespace lacuna {
namespace {

constexpr double kLeastAlpha = 1e-4;
// Of the energy head, times 1 / alpha: the first logits are nearly those of the noise, whatever alpha is.
constexpr double kHeadDeviation = 5e-3;

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets) {
  const auto losses = at::cross_entropy_loss(logits.flatten(0, 1), targets.flatten().to(at::kLong), {}, at::Reduction::None);
  return losses.view(targets.sizes());
}

// A batch's tokens, read once for each landscape that a step asks for.
class Landscapes {
 public:
  Landscapes(Architecture& architecture, const Batch& batch, at::Tensor first)
      : architecture_(architecture), batch_(batch), first_(std::move(first)), read_(static_cast<size_t>(first_.size(0))) {}
  const CandidateStream& of(int64_t step) {
    const auto i = std::min<int64_t>(step, first_.size(0) - 1);
    auto& stream = read_[static_cast<size_t>(i)];
    if (!stream) stream = architecture_.observe(batch_, first_[i]);
    return *stream;
  }

 private:
  Architecture& architecture_;
  const Batch& batch_;
  at::Tensor first_;  // (landscapes, D)
  std::vector<std::unique_ptr<CandidateStream>> read_;
};

// Text that grows token by token; what follows it is searched for at its end alone.
class DescentGeneration : public Generation {
 public:
  DescentGeneration(const Energy& objective, Architecture& architecture, int64_t rows, int64_t longest, at::Device device)
      : objective_(objective), architecture_(architecture), longest_(longest) {
    batch_.stream_positions = at::arange(rows, at::TensorOptions(device).dtype(at::kLong));
  }
  int64_t length() const override { return batch_.tokens.defined() ? batch_.length() : 0; }
  at::Tensor advance(const at::Tensor& tokens) override {
    const auto here = tokens.to(batch_.stream_positions.device());
    batch_.tokens = batch_.tokens.defined() ? at::cat({batch_.tokens, here}, 1) : here;
    if (length() > longest_) throw usage_error("the text is longer than the network's rows");
    return objective_.search(architecture_, batch_, {}, 1).squeeze(1);
  }

 private:
  const Energy& objective_;
  Architecture& architecture_;
  int64_t longest_;
  Batch batch_;
};

}  // namespace

Energy::Energy(const Options& options, const RowContext& context) : options_(options), context_(context), random_(0, 0) {
  if (options_.steps_min > options_.steps) throw usage_error("[objective] steps_min is more than steps");
  if (options_.landscapes > least_steps()) {
    throw usage_error("[objective] landscapes = " + std::to_string(options_.landscapes) + " is more than the " +
                      std::to_string(least_steps()) + " steps that every row takes");
  }
  if (options_.replay_rows > 0) {
    if (context_.document_mask) throw usage_error("[objective] replay_rows does not go with data.document_mask; set it to 0");
    replay_.emplace(options_.replay_rows, options_.replay_share, context_.rows_per_step);
  }
}

Batch Energy::prepare(std::span<const Sample> samples, const Random& random) const {
  auto batch = NextToken::rows(samples, context_);
  if (replay_) replay_->mark(batch, samples, random);
  return batch;
}

Batch Energy::prepare_clean(std::span<const Sample> samples, const Random&) const { return NextToken::rows(samples, context_); }

void Energy::build(const ModelContext& context, const Architecture& architecture) {
  auto& table = context.parameters;
  const int64_t size = architecture.hidden_size();
  random_ = Random(context.seed, 2).fork("energy");
  vocabulary_size_ = context.vocabulary_size;
  landscapes_ = table.declare(*this, "landscapes", {options_.landscapes, size}, -1, 1, InitialValues::normal);
  energy_head_ = table.declare(*this, "energy_head", {1, size}, -1, 1, InitialValues::normal,
                               kHeadDeviation / options_.alpha);
  if (options_.alpha_learnable) {
    alpha_ = table.declare(*this, "alpha", {1}, -1, 1, InitialValues::constant, options_.alpha,
                           {.rate = options_.alpha_rate, .minimum = kLeastAlpha});
  }
  if (replay_) replay_->build(context.mesh.data(), context_.length, vocabulary_size_);
}

std::vector<std::pair<std::string, at::Tensor>> Energy::state() {
  return replay_ ? replay_->state(energy_head_.device()) : std::vector<std::pair<std::string, at::Tensor>>();
}

at::Tensor Energy::alpha() const {
  if (!alpha_.defined()) return at::full({1}, options_.alpha, energy_head_.options().dtype(at::kFloat).requires_grad(false));
  return alpha_.to(at::promote_types(alpha_.scalar_type(), at::kFloat));
}

Loss Energy::loss(Architecture& architecture, const Batch& given) {
  const auto& o = options_;
  const bool training = architecture.is_training();
  Batch batch = given;
  auto names = batch.stream_positions * 2;  // of rows in every draw; replayed ones have odd names
  const int64_t length = batch.length(), fresh = batch.rows();
  auto state = normal_rows(random_.fork("start").fork(uint64_t{0}), names, length * vocabulary_size_)
                   .view({fresh, length, vocabulary_size_});
  if (training && batch.replayed.defined()) {
    const auto rows = replay_->read(batch);
    batch.tokens = at::cat({batch.tokens, rows.tokens});
    batch.targets = at::cat({batch.targets, rows.targets});
    batch.weights = at::cat({batch.weights, at::ones_like(rows.targets, batch.weights.options())});
    names = at::cat({names, names.index_select(0, batch.kept) + 1});
    state = at::cat({state, rows.logits});
  }
  const auto& weights = batch.weights;
  const auto sum = [&](const at::Tensor& values) { return (weights * values).sum(); };

  auto alpha = this->alpha();
  if (training && o.alpha_spread > 1) {
    const auto u = uniform_rows(random_.fork("alpha"), names, length).unsqueeze(-1);
    alpha = alpha * (1 / o.alpha_spread + u * (o.alpha_spread - 1 / o.alpha_spread));
  }
  const int64_t least = training ? least_steps() : o.steps;
  at::Tensor steps;  // (B, 1), where rows take different numbers
  if (least < o.steps) {
    const auto u = uniform_rows(random_.fork("steps"), names, 1);
    steps = (u * static_cast<double>(o.steps - least + 1)).floor() + static_cast<double>(least);
  }
  const auto at_last = [&](int64_t i, const at::Tensor& here, const at::Tensor& before) {  // values of each row's last step
    if (!steps.defined() || !before.defined()) return here;
    const auto ends = steps.eq(i + 1);
    return at::where(here.dim() == 3 ? ends.unsqueeze(-1) : ends, here, before);
  };

  Landscapes texts(architecture, batch, landscapes_);
  const auto& head = architecture.head();
  at::Tensor total, ended, first_energy, last_energy, first_loss, last_loss, slopes;
  for (int64_t i = 0; i < o.steps; ++i) {
    if (o.detach) state = state.detach();
    if (o.langevin > 0) {
      const auto site = random_.fork("langevin").fork(uint64_t{0}).fork(static_cast<uint64_t>(i));
      state = state + o.langevin * normal_rows(site, names, length * vocabulary_size_).view_as(state);
    }
    const auto p = o.normalise ? at::softmax(state, -1) : state;
    const bool differentiable = training && at::GradMode::is_enabled() && (o.detach || !o.truncate || i + 1 >= least);
    auto [energy, g] = slope(texts.of(i), head, energy_head_, p, differentiable);
    if (steps.defined() && !o.detach && o.truncate && differentiable) g = at_last(i, g, g.detach());
    state = p - alpha * g;
    const auto losses = cross_entropy(state, batch.targets);  // (B, T)
    if (training && o.detach) {
      const auto share = steps.defined() ? steps.gt(i).to(losses.scalar_type()) / steps : at::full_like(losses, 1.0 / o.steps);
      total = total.defined() ? total + sum(share * losses) : sum(share * losses);
    }
    ended = at_last(i, state, ended);
    last_loss = at_last(i, losses, last_loss);
    last_energy = at_last(i, energy, last_energy);
    const at::NoGradGuard no_grad;
    if (i == 0) first_energy = energy, first_loss = losses.detach();
    const auto norms = sum(g.norm(2, -1)) / static_cast<double>(o.steps);
    slopes = slopes.defined() ? slopes + norms : norms;
  }
  if (!total.defined()) total = sum(last_loss);
  if (training && batch.kept.defined()) replay_->write(given, ended.detach().narrow(0, 0, fresh));

  const at::NoGradGuard no_grad;
  return {.sum = total,
          .metrics = {{"energy_gap", sum(first_energy - last_energy)},
                      {"cross_entropy_first", sum(first_loss)},
                      {"cross_entropy_last", sum(last_loss.detach())},
                      {"slope", slopes},
                      {"alpha", this->alpha().squeeze(0) * weights.sum()}}};
}

at::Tensor Energy::search(Architecture& architecture, const Batch& batch, const Effort& effort, int64_t n) const {
  const at::NoGradGuard no_grad;
  const auto& o = options_;
  const int64_t steps = effort.steps > 0 ? effort.steps : o.steps, begin = (batch.length() - n) * vocabulary_size_;
  const auto names = batch.stream_positions * 2;
  const auto noise = [&](const Random& site) {
    return normal_rows(site, names, n * vocabulary_size_, begin).view({batch.rows(), n, vocabulary_size_});
  };
  const auto alpha = this->alpha();
  const auto& head = architecture.head();
  const auto candidates = [&](const at::Tensor& state) { return o.normalise ? at::softmax(state, -1) : state; };
  Landscapes texts(architecture, batch, landscapes_);
  at::Tensor best, least;
  for (int64_t sample = 0; sample < effort.samples; ++sample) {
    const auto drawn = static_cast<uint64_t>(sample);
    auto state = noise(random_.fork("start").fork(drawn));
    for (int64_t i = 0; i < steps; ++i) {
      if (o.langevin > 0) state = state + o.langevin * noise(random_.fork("langevin").fork(drawn).fork(static_cast<uint64_t>(i)));
      const auto p = candidates(state);
      state = p - alpha * slope(texts.of(i), head, energy_head_, p, false).g;
    }
    if (effort.samples == 1) return state;
    const auto energy = energies(texts.of(steps - 1), head, energy_head_, candidates(state));
    if (!best.defined()) {
      best = state, least = energy;
      continue;
    }
    const auto better = energy.lt(least);
    best = at::where(better.unsqueeze(-1), state, best);
    least = at::where(better, energy, least);
  }
  return best;
}

at::Tensor Energy::logits(Architecture& architecture, const Batch& batch, const Effort& effort) {
  return search(architecture, batch, effort, batch.length());
}

std::unique_ptr<Generation> Energy::generate(Architecture& architecture, int64_t rows) {
  return std::make_unique<DescentGeneration>(*this, architecture, rows, context_.length, energy_head_.device());
}

// With b the forward pass of the network's blocks and h of its head, and a product's derivative two products: tokens are read and
// differentiated once for each landscape, 3b. A step whose slope is differentiated again is b forward and b for the slope, both
// of which the outer backward goes through at twice their cost, and two products with the table, W's derivative in each and d/dg
// (and without `detach` d/dp); other steps are 2 (b + h).
//
// What such a step keeps until the outer backward, beside logits and shares of attention of several stages, was measured: 3.4
// times what the network keeps otherwise. Within 10 % of the memory of twelve shapes on a CPU.
ModelWork Energy::work(const Architecture& architecture, int64_t samples, int64_t length, int64_t element_size) const {
  const auto& o = options_;
  auto work = architecture.work(samples, length, element_size);
  const double rows = replay_ ? 1 + o.replay_share : 1, steps = static_cast<double>(o.steps);
  const double twice = o.detach || !o.truncate ? steps : static_cast<double>(o.steps - least_steps() + 1);
  const double read = static_cast<double>(o.landscapes);

  const double logits = 4 * static_cast<double>(samples * length) * static_cast<double>(padded_vocabulary(vocabulary_size_));
  double shares = 0;
  for (const auto& a : work.attention) {
    shares += a.count * static_cast<double>(element_size * a.rows * a.length * a.num_heads) * static_cast<double>(a.length);
  }
  const double step = 3.4 * (work.kept_bytes + work.transient_bytes) + 5 * logits + 4 * shares;
  work.kept_bytes = rows * (read * work.kept_bytes + twice * step);

  // In passes forward and backward, 3b and 3h.
  const double blocks = rows * (read + 2 * twice + (steps - twice) * 2 / 3);
  const double head = rows * (twice * (o.detach ? 5 : 6) / 3 + (steps - twice) * 2 / 3);
  const double head_count = work.linears.back().count * head;
  for (auto& linear : work.linears) linear.count *= blocks;
  work.linears.back().count = head_count;
  for (auto& attention : work.attention) attention.count *= blocks;
  for (auto& pass : work.passes) pass.bytes *= blocks;
  work.launches *= blocks;
  work.tensor_bytes *= blocks;
  work.tensor_messages *= blocks;
  return work;
}

double Energy::flops_per_token(const Architecture& architecture, int64_t length) const {
  const auto row = work(architecture, 1, length, 2);
  return model_flops(row) * static_cast<double>(row.tensor_ranks) / static_cast<double>(length) -
         architecture.flops_per_token(length);
}

}  // namespace lacuna
