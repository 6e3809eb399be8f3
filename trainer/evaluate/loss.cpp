#include "trainer/evaluate/loss.h"

#include <ATen/ops/zeros.h>

#include <cmath>
#include <numbers>

#include "trainer/evaluate/answerer.h"
#include "trainer/evaluate/validation_rows.h"

namespace lacuna {

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
  auto sums = at::zeros({2}, at::kDouble);
  rows.each("loss", [&](const std::vector<Sample>& samples) {
    const auto batch = c.objective.prepare_clean(samples, random).to(c.device);
    sums[0] += c.objective.loss(c.architecture, batch).sum.to(at::kCPU, at::kDouble);
    sums[1] += batch.target_count;
  });
  c.mesh.data().all_reduce(sums, Reduce::sum);
  const double loss = sums[0].item<double>() / sums[1].item<double>();
  nlohmann::ordered_json line{{"task", "loss"}, {"loss", loss}, {"perplexity", std::exp(loss)}};
  if (bytes > 0 && !c.objective.num_classes()) line["bits_per_byte"] = loss / std::numbers::ln2 * tokens / bytes;
  line["rows"] = rows.size();
  line["targets"] = sums[1].item<double>();
  return {line};
}

}  // namespace lacuna
