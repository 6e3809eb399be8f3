#include "trainer/evaluate/thinking.h"

#include <ATen/core/Reduction.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "data/error.h"
#include "data/sampler.h"

namespace lacuna {
namespace {

constexpr int64_t kSteps[] = {1, 2, 3, 4, 8}, kSamples[] = {1, 4};

// Of one effort on the same rows as evaluate/loss.cpp judges: the mean loss.
double loss_of(const EvaluationContext& c, const Effort& effort) {
  std::vector<Source> sources;
  int64_t stored = 0;
  for (const auto& corpus : c.corpora) {
    sources.push_back({.size = corpus->size(), .weight = static_cast<double>(corpus->size())});
    stored += corpus->size();
  }
  const int64_t rows = std::min(c.rows, stored), ranks = c.mesh.data().size(), rank = c.mesh.data().rank();
  const Sampler sampler(sources, c.seed);
  const auto random = Random(c.seed, 0).fork("validation");
  auto sums = at::zeros({2}, at::kDouble);
  const int64_t last = rows * (rank + 1) / ranks;
  for (int64_t begin = rows * rank / ranks; begin < last; begin += c.micro_size) {
    std::vector<Sample> samples;
    for (int64_t row = begin; row < std::min(begin + c.micro_size, last); ++row) {
      const auto place = sampler.at(row);
      samples.push_back(c.corpora[static_cast<size_t>(place.corpus)]->at(place.sample));
      samples.back().position = row;
    }
    const auto batch = c.objective.prepare_clean(samples, random).to(c.device);
    const auto logits = c.objective.logits(c.architecture, batch, effort);
    const auto losses =
        at::cross_entropy_loss(logits.flatten(0, 1), batch.targets.flatten().to(at::kLong), {}, at::Reduction::None);
    sums[0] += (losses * batch.weights.flatten()).sum().to(at::kCPU, at::kDouble);
    sums[1] += batch.target_count;
    if (c.alive) c.alive();
  }
  c.mesh.data().all_reduce(sums, Reduce::sum);
  return sums[0].item<double>() / sums[1].item<double>();
}

}  // namespace

std::optional<std::string> ThinkingEvaluation::misfit(const EvaluationPlan& plan) const {
  if (plan.has_corpora) return std::nullopt;
  return "there is nothing to think about: name a corpus under data.validation or with --corpus";
}

std::vector<nlohmann::ordered_json> ThinkingEvaluation::run(const EvaluationContext& c) const {
  if (!c.objective.thinks()) {
    throw usage_error(
        "the evaluation thinking is for objectives that search for their predictions, such as energy; take it out of evaluate.tasks");
  }
  const at::NoGradGuard no_grad;
  c.architecture.eval();
  std::vector<nlohmann::ordered_json> lines;
  double shortest = 0;
  for (const int64_t steps : kSteps) {
    for (const int64_t samples : kSamples) {
      const double loss = loss_of(c, {.steps = steps, .samples = samples});
      if (lines.empty()) shortest = loss;
      lines.push_back({{"task", "thinking"},
                       {"of", "validation"},
                       {"steps", steps},
                       {"samples", samples},
                       {"loss", loss},
                       {"perplexity", std::exp(loss)},
                       {"gain", 1 - std::exp(loss - shortest)}});
    }
  }
  c.architecture.train();
  return lines;
}

}  // namespace lacuna
