#include "objectives/corruption.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

namespace lacuna {

// Floyd's algorithm: one draw an element, whatever the bound.
std::vector<int32_t> choose(int64_t bound, int64_t count, Random random) {
  std::unordered_set<int32_t> chosen;
  for (int64_t last = bound - count; last < bound; ++last) {
    const auto drawn = static_cast<int32_t>(random.below(last + 1));
    if (!chosen.insert(drawn).second) chosen.insert(static_cast<int32_t>(last));
  }
  std::vector<int32_t> sorted(chosen.begin(), chosen.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

std::vector<int64_t> compose(int64_t total, int64_t parts, Random random) {
  std::vector<int64_t> lengths;
  int64_t begin = 0;
  for (const int32_t gap : choose(total - 1, parts - 1, random)) {  // gap g lies behind item g
    lengths.push_back(gap + 1 - begin);
    begin = gap + 1;
  }
  lengths.push_back(total - begin);
  return lengths;
}

int64_t round_half_even(double x) { return static_cast<int64_t>(std::nearbyint(x)); }

SpanPlan plan_spans(int64_t raw, double density, double mean_span) {
  if (raw < 2) return {};
  SpanPlan plan{.raw = raw, .masked = 0, .spans = 0};
  plan.masked = std::clamp<int64_t>(round_half_even(static_cast<double>(raw) * density), 1, raw - 1);
  plan.spans = std::max<int64_t>(1, round_half_even(static_cast<double>(plan.masked) / mean_span));
  // Every span lies between kept tokens, and holds a token at least.
  plan.spans = std::min({plan.spans, plan.masked, raw - plan.masked});
  return plan;
}

namespace {

template <class Length>
SpanPlan longest(int64_t limit, double density, double mean_span, Length length) {
  SpanPlan best;
  for (int64_t raw = 2; raw <= 2 * limit; ++raw) {
    const auto plan = plan_spans(raw, density, mean_span);
    if (length(plan) <= limit) best = plan;
  }
  return best;
}

}  // namespace

SpanPlan plan_for_inputs(int64_t input_length, double density, double mean_span) {
  return longest(input_length, density, mean_span, [](const SpanPlan& p) { return p.input_length(); });
}

SpanPlan plan_for_row(int64_t length, double density, double mean_span) {
  return longest(length, density, mean_span, [](const SpanPlan& p) { return p.input_length() + p.target_length(); });
}

SpanPair corrupt_spans(std::span<const int32_t> raw, const SpanPlan& plan, std::span<const int32_t> sentinels, int32_t end,
                       const Random& random) {
  const auto masked = compose(plan.masked, plan.spans, random.fork("masked"));
  const auto kept = compose(plan.raw - plan.masked, plan.spans, random.fork("kept"));
  SpanPair pair;
  auto token = raw.begin();
  for (size_t k = 0; k < masked.size(); ++k) {
    pair.inputs.insert(pair.inputs.end(), token, token + kept[k]);
    token += kept[k];
    pair.inputs.push_back(sentinels[k]);
    pair.targets.push_back(sentinels[k]);
    pair.targets.insert(pair.targets.end(), token, token + masked[k]);
    token += masked[k];
  }
  pair.inputs.push_back(end);
  pair.targets.push_back(end);
  return pair;
}

}  // namespace lacuna
