#include "trainer/evaluate/smoothness.h"

#include <ATen/ops/cosine_similarity.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "data/tasks/words.h"
#include "trainer/evaluate/answerer.h"
#include "trainer/evaluate/validation_rows.h"

namespace lacuna {
namespace {

constexpr int64_t kOffsets = 16;

// Sums over positions, by offset: of the cosines, and how many there are.
struct Cosines {
  at::Tensor raw = at::zeros({kOffsets, 2}, at::kDouble), centred = at::zeros({kOffsets, 2}, at::kDouble);
};

void add_cosines(at::Tensor& sums, const at::Tensor& states) {
  for (int64_t j = 1; j <= std::min(kOffsets, states.size(1) - 1); ++j) {
    const int64_t count = states.size(1) - j;
    const auto cosine = at::cosine_similarity(states.narrow(1, 0, count), states.narrow(1, j, count), -1);
    sums[j - 1][0] += cosine.sum(at::kDouble).to(at::kCPU);
    sums[j - 1][1] += static_cast<double>(cosine.numel());
  }
}

double mean(const at::Tensor& sums, int64_t offset) {
  const auto count = sums[offset - 1][1].item<double>();
  return count > 0 ? sums[offset - 1][0].item<double>() / count : 0;
}

}  // namespace

std::optional<std::string> SmoothnessEvaluation::misfit(const EvaluationPlan& plan) const {
  if (plan.has_corpora) return std::nullopt;
  return "it reads held-out text: name a corpus under data.validation or with --corpus";
}

std::vector<nlohmann::ordered_json> SmoothnessEvaluation::run(const EvaluationContext& c) const {
  const Judging judging(c.architecture);
  const ValidationRows rows(c);
  const auto random = Random(c.seed, 0).fork("validation");
  const auto states_of = [&](std::vector<Sample> samples, bool shuffled) {
    for (auto& sample : samples) {
      auto order = random.fork("shuffle").fork(static_cast<uint64_t>(sample.position));
      if (shuffled) shuffle(sample.tokens, order);
    }
    return c.architecture.forward(c.objective.prepare_clean(samples, random).to(c.device)).states.to(at::kFloat);
  };
  at::Tensor means[2];
  for (const bool shuffled : {false, true}) {
    auto sum = at::zeros({c.architecture.hidden_size() + 1}, at::kDouble);
    rows.each("smoothness, mean", [&](const std::vector<Sample>& samples) {
      const auto states = states_of(samples, shuffled).flatten(0, 1);
      sum.narrow(0, 0, states.size(1)) += states.sum(0, false, at::kDouble).to(at::kCPU);
      sum[states.size(1)] += static_cast<double>(states.size(0));
    });
    c.mesh.data().all_reduce(sum, Reduce::sum);
    means[shuffled] = (sum.narrow(0, 0, sum.size(0) - 1) / sum[sum.size(0) - 1]).to(at::kFloat).to(c.device);
  }
  Cosines cosines[2];
  rows.each("smoothness", [&](const std::vector<Sample>& samples) {
    for (const bool shuffled : {false, true}) {
      const auto states = states_of(samples, shuffled);
      add_cosines(cosines[shuffled].raw, states);
      add_cosines(cosines[shuffled].centred, states - means[shuffled]);
    }
  });
  for (auto& one : cosines) {
    c.mesh.data().all_reduce(one.raw, Reduce::sum);
    c.mesh.data().all_reduce(one.centred, Reduce::sum);
  }
  nlohmann::ordered_json table = nlohmann::ordered_json::object();
  for (int64_t j = 1; j <= kOffsets && cosines[0].raw[j - 1][1].item<double>() > 0; ++j) {
    table[std::to_string(j)] = {{"cosine", mean(cosines[0].raw, j)},
                                {"centred", mean(cosines[0].centred, j)},
                                {"shuffled", mean(cosines[1].raw, j)},
                                {"shuffled_centred", mean(cosines[1].centred, j)}};
  }
  return {{{"task", "smoothness"},
           {"cosine", mean(cosines[0].raw, 1)},
           {"centred", mean(cosines[0].centred, 1)},
           {"shuffled", mean(cosines[1].raw, 1)},
           {"shuffled_centred", mean(cosines[1].centred, 1)},
           {"rows", rows.size()},
           {"slices", {{"offset", table}}}}};
}

}  // namespace lacuna
