#include "trainer/trainer.h"

#include <ATen/ops/zeros.h>
#include <c10/core/DeviceGuard.h>

#include <chrono>
#include <cmath>

#include "data/documents.h"
#include "data/error.h"
#include "trainer/evaluate/scores.h"
#include "trainer/kernels/set_values.h"
#include "trainer/optim/gradient_norm.h"
#include "trainer/report/phase.h"
#include "trainer/training_state.h"

namespace lacuna {
namespace {

constexpr size_t kStepsAhead = 3;

bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

// What all ranks must know of one another once a step: one message, summed over the world.
enum Total : int64_t { kStop, kUnwritten, kTargets, kLoss, kMetrics, kNumTotals = kMetrics + 12 };
// What the host reads of a step: the totals, and beside them this rank's loss and the gradient's norm.
enum Result : int64_t { kOwnLoss = kNumTotals, kNorm, kNumResults };

}  // namespace

Trainer::Trainer(TrainerParts parts, TrainerPlan plan)
    : p_(std::move(parts)),
      plan_(plan),
      graphs_(plan.record_graphs),
      first_(graphs_),
      accumulate_(graphs_),
      last_(graphs_),
      step_done_(plan.first_step - 1),
      saved_step_(plan.first_step - 1) {
  const auto options = p_.storage.gradients().options().dtype(at::kDouble);
  totals_ = at::zeros({kNumTotals}, options);
  results_ = at::zeros({kNumResults}, options);
}

Trainer::End Trainer::run() {
  Prefetch<StepInput> inputs([this](int64_t step) { return prepare(step); }, plan_.first_step, kStepsAhead);
  p_.architecture.train();
  for (int64_t number = plan_.first_step; number <= plan_.last_step; ++number) {
    p_.watchdog.beat(number);
    p_.fault.strike(p_.mesh.world().rank(), number);
    started_.push_back({number, Clock::now()});  // the wait for data counts

    p_.profile.before(number);
    step(in_phase("data wait", [&] { return inputs.next(); }));
    if (p_.profile.after(number)) p_.screen.note("kernels of these steps: " + p_.profile.file().string());
    report_until(plan_.steps_in_flight);

    const bool stop = agreed_.stop || number == plan_.stop_after;
    const bool last = number == plan_.last_step;
    const bool evaluates = due(number, plan_.evaluate_every) || (last && plan_.evaluate_every > 0);
    const bool saves = due(number, plan_.checkpoint_every) || stop || last;
    if (evaluates || saves) {
      report_until(0);
      gather_all();
    }
    if (evaluates) evaluate(number);
    if (agreed_.checkpoint_written) commit_save();
    if (saves) save(number);
    if (stop && !last) {
      commit_save();
      return End::stopped;
    }
  }
  commit_save();
  return End::finished;
}

// In the prefetch thread.
StepInput Trainer::prepare(int64_t step) {
  auto input = p_.source.at(step);
  const auto device = totals_.device();
  if (device.is_cpu()) return input;
  // What is recorded holds for one shape, so the list of documents never becomes shorter.
  for (const auto& batch : input.micro_batches) {
    if (batch.documents.defined()) document_room_ = std::max(document_room_, batch.documents.size(0));
  }
  const c10::DeviceGuard guard(device);
  for (auto& batch : input.micro_batches) {
    if (batch.documents.defined()) batch.documents = with_room(batch.documents, document_room_);
    batch = batch.pinned();
  }
  return input;
}

// Queues the whole step and waits for none of it; report_until reads later what it came to.
void Trainer::step(const StepInput& input) {
  p_.optimizer.begin(input.step, rate(input.step));
  spoiled_ = p_.fault.spoils(p_.mesh.world().rank(), input.step);
  graphs_.begin_round();
  totals_.zero_();
  // The ranks of a tensor axis hold the same targets: only its first one counts them.
  set_values(totals_, {p_.stop_requested ? 1.0 : 0.0, p_.checkpoints.written() ? 0.0 : 1.0,
                       p_.mesh.tensor().rank() == 0 ? input.target_count : 0.0});
  for (const auto& batch : input.micro_batches) {
    if (!in_phase("load", [&] { return batch_.load(batch, totals_.device()); })) forget_recordings();
    const bool first = &batch == &input.micro_batches.front() && p_.gather != nullptr;  // else it is one like the others
    const bool last = &batch == &input.micro_batches.back();
    const Phase phase(plan_.record_graphs ? "replay" : "compute");
    (last ? last_ : first ? first_ : accumulate_).run([&] {
      accumulate(first, last);
      if (last) update();
    });
  }
  readback_.send(results_);
}

void Trainer::forget_recordings() {
  graphs_ = GraphPool(plan_.record_graphs);
  first_ = Graph(graphs_);
  accumulate_ = Graph(graphs_);
  last_ = Graph(graphs_);
}

// One micro-batch: its loss to the totals, its gradients, which are those of the sum, to the flat buffer.
void Trainer::accumulate(bool first, bool last) {
  if (first) p_.gather->start();
  if (first && !p_.architecture.waits_for_parameters()) p_.gather->finish();
  const Loss loss = in_phase("forward", [&] { return p_.objective.loss(p_.architecture, batch_.value()); });
  if (first) p_.gather->finish();
  if (last) p_.buckets.arm();  // reduce while this backward runs
  in_phase("backward", [&] { loss.sum.backward(); });
  add_total(kLoss, loss.sum);
  metric_names_.clear();
  for (const auto& [name, sum] : loss.metrics) {
    add_total(kMetrics + static_cast<int64_t>(metric_names_.size()), sum);
    metric_names_.push_back(name);
  }
  if (spoiled_) totals_.narrow(0, kLoss, 1).fill_(NAN);
}

void Trainer::update() {
  in_phase("reduce", [&] {
    p_.buckets.finish();
    if (p_.shared_gradients != nullptr) p_.shared_gradients->sum();
  });
  const Phase phase("update");
  results_.narrow(0, kOwnLoss, 1).copy_(totals_.narrow(0, kLoss, 1));
  // The ranks of a tensor axis hold the same loss: only its first one speaks.
  if (p_.mesh.tensor().rank() != 0) totals_.narrow(0, kLoss, kNumTotals - kLoss).zero_();
  p_.mesh.world().all_reduce(totals_, Reduce::sum);
  const auto [norm, scale] = gradient_scale(squared_gradient_norm(p_.storage, p_.mesh), totals_.narrow(0, kTargets, 1),
                                            totals_.narrow(0, kLoss, 1), p_.optimizer.clip_norm());
  p_.optimizer.update(scale);
  results_.narrow(0, 0, kNumTotals).copy_(totals_);
  results_.narrow(0, kNorm, 1).copy_(norm);
}

void Trainer::add_total(int64_t total, const at::Tensor& sum) { totals_.narrow(0, total, 1).add_(sum.detach()); }

double Trainer::rate(int64_t step) const { return p_.optimizer.learning_rate() * p_.schedule.factor(step); }

void Trainer::report_until(int64_t in_flight) {
  const Phase phase("report");
  while (static_cast<int64_t>(started_.size()) > in_flight) {
    const auto result = readback_.take();
    p_.mesh.check();
    const auto [step, began] = started_.front();
    started_.pop_front();
    const double targets = result[kTargets];
    if (targets <= 0) throw data_error("step " + std::to_string(step) + " has no targets: every weight of its rows is 0");
    refuse_not_finite(step, result[kLoss] / targets, result[kNorm], result[kOwnLoss]);
    agreed_ = {.stop = result[kStop] > 0, .checkpoint_written = result[kUnwritten] == 0};
    step_done_ = step;
    plan_.tokens_seen += plan_.tokens_per_step;

    StepReport report;
    report.step = step;
    report.loss = result[kLoss] / targets;
    report.learning_rate = rate(step);
    report.grad_norm = result[kNorm];
    const auto now = Clock::now();
    report.seconds = std::chrono::duration<double>(now - std::max(began, reported_)).count();
    reported_ = now;
    report.tokens = plan_.tokens_per_step;
    report.tokens_seen = plan_.tokens_seen;
    report.targets = targets;
    report.tokens_per_second = static_cast<double>(report.tokens) / report.seconds;
    report.flops_per_second = report.tokens_per_second * plan_.flops_per_token;
    for (size_t i = 0; i < metric_names_.size(); ++i) report.metrics.emplace_back(metric_names_[i], result[kMetrics + i] / targets);
    write(report);
  }
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

void Trainer::write(const StepReport& r) {
  p_.screen.step(r);
  if (p_.metrics == nullptr) return;
  nlohmann::ordered_json line{{"event", "step"},
                              {"step", r.step},
                              {"loss", r.loss},
                              {"tokens", r.tokens},
                              {"tokens_seen", r.tokens_seen},
                              {"targets", r.targets},
                              {"tokens_per_second", r.tokens_per_second},
                              {"learning_rate", r.learning_rate},
                              {"grad_norm", r.grad_norm},
                              {"seconds", r.seconds}};
  for (const auto& [name, value] : r.metrics) line[name] = value;
  p_.metrics->write(line);
  if (p_.events == nullptr) return;
  Scalars scalars{{"train/loss", r.loss},
                  {"train/learning_rate", r.learning_rate},
                  {"train/grad_norm", r.grad_norm},
                  {"train/tokens_per_second", r.tokens_per_second}};
  for (const auto& [name, value] : r.metrics) scalars.emplace_back("train/" + name, value);
  p_.events->write(r.step, scalars);
}

// The shards that the other ranks have updated, for what is not a step.
void Trainer::gather_all() {
  if (p_.gather == nullptr) return;
  p_.gather->start();
  p_.gather->finish();
}

void Trainer::evaluate(int64_t step) {
  for (const auto& [name, evaluation] : p_.evaluations) {
    p_.watchdog.beat(step);
    for (const auto& result : evaluation->run(p_.evaluation)) {
      nlohmann::ordered_json line{{"event", "evaluate"}, {"step", step}};
      line.update(result);
      if (p_.metrics != nullptr) p_.metrics->write(line);
      if (p_.events != nullptr) p_.events->write(step, scalars_of(line));
      p_.screen.note("step " + std::to_string(step) + "  evaluation " + headline(result));
    }
  }
}

void Trainer::save(int64_t step) {
  if (saved_step_ == step) return;
  commit_save();  // at most one is in flight
  p_.watchdog.beat(step);
  auto slices = training_slices(p_.storage, &p_.optimizer, p_.mesh);
  const auto kept = objective_slices(p_.objective, p_.mesh);
  slices.insert(slices.end(), kept.begin(), kept.end());
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
