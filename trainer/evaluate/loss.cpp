#include "trainer/evaluate/loss.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <numbers>

#include "data/error.h"
#include "data/sampler.h"

namespace lacuna {

std::optional<std::string> LossEvaluation::misfit(const EvaluationPlan& plan) const {
  if (plan.has_corpora) return std::nullopt;
  return "there is nothing to evaluate on: name a corpus under data.validation or with --corpus";
}

std::vector<nlohmann::ordered_json> LossEvaluation::run(const EvaluationContext& c) const {
  const at::NoGradGuard no_grad;
  c.architecture.eval();
  std::vector<Source> sources;
  int64_t stored = 0;
  double tokens = 0, bytes = 0;
  for (const auto& corpus : c.corpora) {
    sources.push_back({.size = corpus->size(), .weight = static_cast<double>(corpus->size())});
    stored += corpus->size();
    tokens += static_cast<double>(corpus->spec().tokens);
    bytes += static_cast<double>(corpus->spec().bytes);
  }
  const int64_t rows = std::min(c.rows, stored);
  const Sampler sampler(sources, c.seed);
  const auto random = Random(c.seed, 0).fork("validation");
  const int64_t first = rows * c.mesh.data().rank() / c.mesh.data().size();
  const int64_t last = rows * (c.mesh.data().rank() + 1) / c.mesh.data().size();
  auto sums = at::zeros({2}, at::kDouble);
  for (int64_t begin = first; begin < last; begin += c.micro_size) {
    std::vector<Sample> samples;
    for (int64_t row = begin; row < std::min(begin + c.micro_size, last); ++row) {
      const auto place = sampler.at(row);
      samples.push_back(c.corpora[static_cast<size_t>(place.corpus)]->at(place.sample));
      samples.back().position = row;
    }
    const auto batch = c.objective.prepare_clean(samples, random).to(c.device);
    sums[0] += c.objective.loss(c.architecture, batch).sum.to(at::kCPU, at::kDouble);
    sums[1] += batch.target_count;
  }
  c.mesh.data().all_reduce(sums, Reduce::sum);
  c.architecture.train();
  const double loss = sums[0].item<double>() / sums[1].item<double>();
  nlohmann::ordered_json line{{"task", "loss"}, {"loss", loss}, {"perplexity", std::exp(loss)}};
  if (bytes > 0 && !c.objective.num_classes()) line["bits_per_byte"] = loss / std::numbers::ln2 * tokens / bytes;
  line["rows"] = rows;
  line["targets"] = sums[1].item<double>();
  return {line};
}

}  // namespace lacuna
