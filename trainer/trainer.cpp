#include "trainer/trainer.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <chrono>
#include <cmath>

#include "data/error.h"
#include "trainer/optim/gradient_norm.h"
#include "trainer/training_state.h"

namespace lacuna {
namespace {

constexpr size_t kStepsAhead = 3;

bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

}  // namespace

Trainer::Trainer(TrainerParts parts, TrainerPlan plan)
    : p_(std::move(parts)), plan_(plan), step_done_(plan.first_step - 1), saved_step_(plan.first_step - 1) {}

Trainer::End Trainer::run() {
  Prefetch<StepInput> inputs([this](int64_t step) { return p_.source.at(step); }, plan_.first_step, kStepsAhead);
  p_.architecture.train();
  for (int64_t number = plan_.first_step; number <= plan_.last_step; ++number) {
    p_.watchdog.beat(number);
    step_began_ = std::chrono::steady_clock::now();
    p_.fault.strike(p_.mesh.world().rank(), number);

    report(step(inputs.next()));

    const bool stop = agreed_.stop || number == plan_.stop_after;
    const bool last = number == plan_.last_step;
    if (due(number, plan_.evaluate_every) || (last && plan_.evaluate_every > 0)) evaluate(number);
    if (agreed_.checkpoint_written) commit_save();
    if (due(number, plan_.checkpoint_every) || stop || last) save(number);
    if (stop && !last) {
      commit_save();
      return End::stopped;
    }
  }
  commit_save();
  return End::finished;
}

StepReport Trainer::step(const StepInput& input) {
  const double targets = count_targets(input);

  p_.storage.zero_gradients();
  double loss_sum = 0;
  std::vector<std::pair<std::string, at::Tensor>> metrics;
  for (const auto& batch : input.micro_batches) {
    const Loss loss = p_.objective.loss(p_.architecture, batch);
    if (&batch == &input.micro_batches.back()) p_.buckets.arm();  // reduce while this backward runs
    (loss.sum / targets).backward();
    loss_sum += loss.sum.item<double>();
    for (size_t i = 0; i < loss.metrics.size(); ++i) {
      if (i == metrics.size()) metrics.emplace_back(loss.metrics[i].first, at::zeros({}, at::kDouble));
      metrics[i].second += loss.metrics[i].second.detach();
    }
  }
  p_.buckets.finish();
  if (p_.fault.spoils(p_.mesh.world().rank(), input.step)) loss_sum = NAN;

  agreed_ = agree(loss_sum, metrics, targets);
  const double norm = gradient_norm(p_.storage, p_.mesh.tensor());
  refuse_not_finite(input.step, agreed_.loss, norm, loss_sum);
  const double rate = p_.optimizer.learning_rate() * p_.schedule.factor(input.step);
  p_.optimizer.step(input.step, rate, clip_factor(norm, p_.optimizer.clip_norm()));

  step_done_ = input.step;
  plan_.tokens_seen += plan_.tokens_per_step;
  StepReport report;
  report.step = input.step;
  report.loss = agreed_.loss;
  report.learning_rate = rate;
  report.grad_norm = norm;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - step_began_).count();
  report.tokens = plan_.tokens_per_step;
  report.tokens_seen = plan_.tokens_seen;
  report.tokens_per_second = static_cast<double>(report.tokens) / report.seconds;
  report.flops_per_second = report.tokens_per_second * plan_.flops_per_token;
  for (size_t i = 0; i < metrics.size(); ++i) report.metrics.emplace_back(metrics[i].first, agreed_.metrics[i]);
  return report;
}

double Trainer::count_targets(const StepInput& input) {
  auto count = at::zeros({1}, at::kDouble).fill_(input.target_count);
  p_.mesh.data().all_reduce(count, Reduce::sum);
  const double targets = count.item<double>();
  if (targets <= 0) throw data_error("step " + std::to_string(input.step) + " has no targets: every weight of its rows is 0");
  return targets;
}

Trainer::Agreement Trainer::agree(double loss_sum, const std::vector<std::pair<std::string, at::Tensor>>& metrics,
                                  double targets) {
  auto message = at::zeros({3 + static_cast<int64_t>(metrics.size())}, at::kDouble);
  auto* values = message.data_ptr<double>();
  // The ranks of a tensor axis hold the same loss: only its first one speaks.
  const bool speaks = p_.mesh.tensor().rank() == 0;
  values[0] = p_.stop_requested ? 1 : 0;
  values[1] = p_.checkpoints.written() ? 0 : 1;
  values[2] = speaks ? loss_sum : 0;
  for (size_t i = 0; i < metrics.size(); ++i) values[3 + i] = speaks ? metrics[i].second.item<double>() : 0;
  p_.mesh.world().all_reduce(message, Reduce::sum);
  Agreement agreed{.loss = values[2] / targets, .metrics = {}, .stop = values[0] > 0, .checkpoint_written = values[1] == 0};
  for (size_t i = 0; i < metrics.size(); ++i) agreed.metrics.push_back(values[3 + i] / targets);
  return agreed;
}

void Trainer::refuse_not_finite(int64_t step, double loss, double norm, double own_loss) {
  if (std::isfinite(loss) && std::isfinite(norm)) return;
  auto own = at::zeros({1}, at::kDouble).fill_(own_loss);
  auto all = at::zeros({p_.mesh.world().size()}, at::kDouble);
  p_.mesh.world().all_gather(all, own);
  std::string ranks;
  for (int64_t r = 0; r < all.numel(); ++r) {
    if (!std::isfinite(all[r].item<double>())) ranks += (ranks.empty() ? "" : ", ") + std::to_string(r);
  }
  throw Error(ExitCode::numerical,
              "step " + std::to_string(step) + ": loss " + std::to_string(loss) + ", gradient norm " + std::to_string(norm) +
                  (ranks.empty() ? "; the gradient is not finite" : "; the loss is not finite on rank " + ranks) +
                  ". The parameters were not updated. Lower optimizer.learning_rate, lengthen "
                  "schedule.warmup_steps or look at the step's rows with lacuna inspect CONFIG --batch --step " +
                  std::to_string(step));
}

void Trainer::report(const StepReport& r) {
  p_.screen.step(r);
  if (p_.metrics == nullptr) return;
  nlohmann::ordered_json line{{"event", "step"},
                              {"step", r.step},
                              {"loss", r.loss},
                              {"tokens", r.tokens},
                              {"tokens_seen", r.tokens_seen},
                              {"tokens_per_second", r.tokens_per_second},
                              {"learning_rate", r.learning_rate},
                              {"grad_norm", r.grad_norm},
                              {"seconds", r.seconds}};
  for (const auto& [name, value] : r.metrics) line[name] = value;
  p_.metrics->write(line);
}

void Trainer::evaluate(int64_t step) {
  for (const auto& [name, evaluation] : p_.evaluations) {
    p_.watchdog.beat(step);
    for (const auto& result : evaluation->run(p_.evaluation)) {
      nlohmann::ordered_json line{{"event", "evaluate"}, {"step", step}};
      line.update(result);
      if (p_.metrics != nullptr) p_.metrics->write(line);
      p_.screen.note("step " + std::to_string(step) + "  evaluation " + result.dump());
    }
  }
}

void Trainer::save(int64_t step) {
  if (saved_step_ == step) return;
  commit_save();  // at most one is in flight
  p_.watchdog.beat(step);
  auto slices = training_slices(p_.storage, &p_.optimizer, p_.mesh);
  if (p_.mesh.world().rank() == 0) slices.insert(slices.end(), p_.extra.begin(), p_.extra.end());
  auto meta = p_.meta;
  meta.step = step;
  meta.tokens_seen = plan_.tokens_seen;
  p_.checkpoints.begin(slices, meta);
  saved_step_ = step;
}

void Trainer::commit_save() {
  const auto result = p_.checkpoints.commit();
  if (!result.failure) return;
  if (!result.saved) throw *result.failure;
  p_.screen.note("warning: " + std::string(result.failure->what()));
}

}  // namespace lacuna
