#include "trainer/evaluate/loss.h"

#include <ATen/ops/zeros.h>

#include <cmath>
#include <numbers>

#include "trainer/evaluate/answerer.h"
#include "trainer/evaluate/validation_rows.h"

namespace lacuna {
namespace {

constexpr int64_t kMaxFigures = 12;  // as many as a step reports

}  // namespace

std::optional<std::string> LossEvaluation::misfit(const EvaluationPlan& plan) const {
  if (plan.has_corpora) return std::nullopt;
  return "there is nothing to evaluate on: name a corpus under data.validation or with --corpus";
}

std::vector<nlohmann::ordered_json> LossEvaluation::run(const EvaluationContext& c) const {
  const Judging judging(c.architecture);
  double tokens = 0, bytes = 0;
  for (const auto& corpus : c.corpora) {
    tokens += static_cast<double>(corpus->spec().tokens);
    bytes += static_cast<double>(corpus->spec().bytes);
  }
  const ValidationRows rows(c);
  const auto random = Random(c.seed, 0).fork("validation");
  // Of networks that read frames also the objective's own figures: perplexity says nothing of them.
  std::vector<std::string> names;
  auto sums = at::zeros({2 + kMaxFigures}, at::kDouble);
  rows.each("loss", [&](const std::vector<Sample>& samples) {
    const auto batch = c.objective.prepare_clean(samples, random).to(c.device);
    const auto found = c.objective.loss(c.architecture, batch);
    sums[0] += found.sum.to(at::kCPU, at::kDouble);
    sums[1] += batch.target_count;
    names.clear();
    for (const auto& [name, sum] : found.metrics) {
      sums[2 + static_cast<int64_t>(names.size())] += sum.to(at::kCPU, at::kDouble);
      names.push_back(name);
    }
  });
  c.mesh.data().all_reduce(sums, Reduce::sum);
  const double loss = sums[0].item<double>() / sums[1].item<double>();
  nlohmann::ordered_json line{{"task", "loss"}, {"loss", loss}};
  if (c.architecture.offers().modality == "text") {
    line["perplexity"] = std::exp(loss);
  } else {
    for (size_t i = 0; i < names.size(); ++i) line[names[i]] = (sums[2 + static_cast<int64_t>(i)] / sums[1]).item<double>();
  }
  if (bytes > 0 && !c.objective.num_classes()) line["bits_per_byte"] = loss / std::numbers::ln2 * tokens / bytes;
  line["rows"] = rows.size();
  line["targets"] = sums[1].item<double>();
  return {line};
}

}  // namespace lacuna
