// A batch's attention rule as scores. allow(q, k) is: causal k <= q; prefix k <= q or both in the mutually visible prefix;
// full always; and, where the batch has segments, only inside a segment. A padding position (segment 0) sees itself alone, so
// that its softmax stays finite.
#pragma once
#include "trainer/kernels/attention.h"
#include "trainer/model/architecture.h"

namespace lacuna {

AttentionPattern attention_pattern(Visibility visibility, const Batch& batch);

// Adds (1, H, T, T) scores to a pattern, writing causality out where it was implied.
void add_scores(AttentionPattern& pattern, const at::Tensor& scores);

}  // namespace lacuna
