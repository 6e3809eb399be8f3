#include "trainer/report/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <vector>

#include "data/random.h"

namespace lacuna {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// The value below which `share` of the sorted values lie, between two of them by their distance.
double quantile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto index = static_cast<size_t>(place);
  const size_t next = std::min(index + 1, sorted.size() - 1);
  return sorted[index] + (place - static_cast<double>(index)) * (sorted[next] - sorted[index]);
}

std::string p_text(double p) {
  char text[32];
  std::snprintf(text, sizeof text, p < 0.001 ? "p < 0.001" : "p = %.3f", p);
  return text;
}

}  // namespace

Summary summarize(std::span<const double> values) {
  if (values.empty()) return {0, kNone, kNone, kNone, kNone};
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {.count = static_cast<int64_t>(values.size()),
          .mean = mean,
          .standard_error = values.size() < 2 ? kNone : std::sqrt(squares / (n - 1) / n),
          .low = *low,
          .high = *high};
}

Bootstrap bootstrap_mean(std::span<const double> values, double threshold, uint64_t seed, int64_t resamples) {
  const auto n = static_cast<int64_t>(values.size());
  const auto random = Random(seed, 0).fork("bootstrap");
  std::vector<double> means;
  int64_t not_above = 0, not_below = 0;
  for (int64_t resample = 0; resample < resamples; ++resample) {
    auto draws = random.fork(static_cast<uint64_t>(resample));
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += values[static_cast<size_t>(draws.below(n))];
    const double mean = sum / static_cast<double>(n);
    not_above += mean <= threshold ? 1 : 0;
    not_below += mean >= threshold ? 1 : 0;
    means.push_back(mean);
  }
  std::sort(means.begin(), means.end());
  // One is added to both counts, since the sample itself is one of its resamples: no p is 0 (Davison & Hinkley 1997, 4.2).
  const auto tail = static_cast<double>(std::min(not_above, not_below) + 1) / static_cast<double>(resamples + 1);
  return {.low = quantile(means, 0.025), .high = quantile(means, 0.975), .p = std::min(1.0, 2 * tail)};
}

Judgement judge(std::span<const double> values, Relation relation, double threshold, uint64_t seed) {
  Judgement judgement;
  judgement.values = summarize(values);
  if (values.empty()) {
    judgement.reason = "no seed has both arms";
    return judgement;
  }
  judgement.bootstrap = bootstrap_mean(values, threshold, seed);
  const auto holds = [&](double value) { return relation == Relation::above ? value > threshold : value < threshold; };
  const auto fails = [&](double value) { return relation == Relation::above ? value < threshold : value > threshold; };
  const auto count = static_cast<int64_t>(values.size()), yes = std::count_if(values.begin(), values.end(), holds);
  const auto no = std::count_if(values.begin(), values.end(), fails);
  judgement.reason = "holds for " + std::to_string(yes) + " of " + std::to_string(count) + " seeds, " + p_text(judgement.bootstrap.p);
  if (count < kFewestSeeds) {
    judgement.reason += "; fewer than " + std::to_string(kFewestSeeds) + " seeds decide nothing";
    return judgement;
  }
  const bool significant = judgement.bootstrap.p < kSignificance;
  if (yes == count || (significant && holds(judgement.values.mean))) judgement.verdict = Verdict::reproduced;
  if (no == count || (significant && fails(judgement.values.mean))) judgement.verdict = Verdict::not_reproduced;
  return judgement;
}

}  // namespace lacuna
