// What masking objectives do to a row, as pure functions of a row's own random numbers.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "data/random.h"

namespace lacuna {

// `count` different numbers of [0, bound), ascending; every such set is equally likely. count <= bound.
std::vector<int32_t> choose(int64_t bound, int64_t count, Random random);

// `total` as the sum of `parts` positive numbers; every such sum is equally likely. parts <= total.
std::vector<int64_t> compose(int64_t total, int64_t parts, Random random);

// round(x), halves to the even neighbour, as Python and the reference codes round.
int64_t round_half_even(double x);

// How T5 cuts a stretch of raw tokens into spans (Raffel et al. 2020, section 3.1.4, and its released code): the same number of
// masked tokens and of spans in every row.
struct SpanPlan {
  int64_t raw = 0;                                                   // tokens of the stretch
  int64_t masked = 0;                                                // N = clamp(round(raw * density), 1, raw - 1)
  int64_t spans = 0;                                                 // K = max(1, round(N / mean_span))
  int64_t input_length() const { return raw - masked + spans + 1; }  // kept tokens, a sentinel a span, the end token
  int64_t target_length() const { return masked + spans + 1; }       // masked tokens, a sentinel a span, the end token
};
SpanPlan plan_spans(int64_t raw, double density, double mean_span);
// The longest stretch whose inputs fit into `input_length` slots; raw = 0 where none does.
SpanPlan plan_for_inputs(int64_t input_length, double density, double mean_span);
// The longest stretch whose inputs and targets together fit into `length` slots.
SpanPlan plan_for_row(int64_t length, double density, double mean_span);

// Inputs and targets of one stretch: kept tokens with sentinels[k] in place of span k, and the spans after their sentinels, each
// closed with `end`. The stretch begins with a kept token and ends with a masked one.
struct SpanPair {
  std::vector<int32_t> inputs, targets;
};
SpanPair corrupt_spans(std::span<const int32_t> raw, const SpanPlan& plan, std::span<const int32_t> sentinels, int32_t end,
                       const Random& random);

}  // namespace lacuna
