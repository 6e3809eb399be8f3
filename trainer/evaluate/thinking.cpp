#include "trainer/evaluate/thinking.h"

#include <ATen/core/Reduction.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "data/error.h"
#include "trainer/evaluate/answerer.h"
#include "trainer/evaluate/task_evaluation.h"
#include "trainer/evaluate/validation_rows.h"

namespace lacuna {
namespace {

constexpr int64_t kSteps[] = {1, 2, 3, 4, 8}, kSamples[] = {1, 4};
constexpr const char* kTasks[] = {"dyck", "modular_arithmetic"};

// Mean loss on the validation rows.
double loss_of(const EvaluationContext& c) {
  const Judging judging(c.architecture);
  const auto random = Random(c.seed, 0).fork("validation");
  auto sums = at::zeros({2}, at::kDouble);
  ValidationRows(c).each("thinking", [&](const std::vector<Sample>& samples) {
    const auto batch = c.objective.prepare_clean(samples, random).to(c.device);
    const auto logits = c.objective.logits(c.architecture, batch, c.effort);
    const auto losses =
        at::cross_entropy_loss(logits.flatten(0, 1), batch.targets.flatten().to(at::kLong), {}, at::Reduction::None);
    sums[0] += (losses * batch.weights.flatten()).sum().to(at::kCPU, at::kDouble);
    sums[1] += batch.target_count;
  });
  c.mesh.data().all_reduce(sums, Reduce::sum);
  return sums[0].item<double>() / sums[1].item<double>();
}

}  // namespace

std::optional<std::string> ThinkingEvaluation::misfit(const EvaluationPlan& plan) const {
  if (!plan.has_corpora) return "there is nothing to think about: name a corpus under data.validation or with --corpus";
  for (const auto* task : kTasks) {
    if (auto reason = TaskEvaluation(task).misfit(plan)) return std::string(task) + ": " + *reason;
  }
  return std::nullopt;
}

std::vector<nlohmann::ordered_json> ThinkingEvaluation::run(const EvaluationContext& given) const {
  if (!given.objective.thinks()) {
    throw usage_error(
        "the evaluation thinking is for objectives that search for their predictions, such as energy; take it out of evaluate.tasks");
  }
  auto c = given;
  std::vector<nlohmann::ordered_json> lines;
  double shortest = 0;
  for (const int64_t steps : kSteps) {
    for (const int64_t samples : kSamples) {
      c.effort = {.steps = steps, .samples = samples};
      const double loss = loss_of(c);
      if (lines.empty()) shortest = loss;
      const nlohmann::ordered_json effort{{"steps", steps}, {"samples", samples}};
      auto line = nlohmann::ordered_json{{"task", "thinking"}, {"of", "validation"}};
      line.update(effort);
      line.update({{"loss", loss}, {"perplexity", std::exp(loss)}, {"gain", 1 - std::exp(loss - shortest)}});
      lines.push_back(std::move(line));
      for (const auto* task : kTasks) {
        for (const auto& figures : TaskEvaluation(task).run(c)) {
          auto& answered = lines.emplace_back(nlohmann::ordered_json{{"task", "thinking"}, {"of", task}});
          answered.update(effort);
          for (const auto& [name, value] : figures.items()) {
            if (name != "task") answered[name] = value;
          }
        }
      }
    }
  }
  return lines;
}

}  // namespace lacuna
