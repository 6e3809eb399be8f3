// A batch's attention rule as scores. allow(q, k) is: causal k <= q, and with a window w also q - w < k; prefix k <= q or both in
// the mutually visible prefix; full always; and, where the batch has segments, only inside a segment. A padding position
// (segment 0) sees itself alone, so that its softmax stays finite.
#pragma once
#include "trainer/kernels/attention.h"
#include "trainer/model/architecture.h"

namespace lacuna {

// `window`, of a causal pattern: how many positions a position sees, itself included; 0 = all before it.
AttentionPattern attention_pattern(Visibility visibility, int64_t window, const Batch& batch);

// That of the newest of `keys` positions alone, which sees the last `window` of them.
AttentionPattern newest_pattern(int64_t window, int64_t keys, const at::TensorOptions& options);

// (B or 1, 1, T, T) bool: the rule written out.
at::Tensor allowed_pairs(Visibility visibility, int64_t window, const Batch& batch);

// Of decoder slots (queries) and encoder slots (keys): all where the batch has no segments, else those of the same segment. A
// decoder slot without a segment in the encoder, such as padding, sees all, so that its softmax stays finite; it has no weight.
AttentionPattern cross_pattern(const Batch& batch);

// Of decoder slots to encoder slots and then decoder slots as the keys of one softmax, (B or 1, 1, T, S + T): to those of the source
// that belong to the slot's segment, all where the batch has no segments, and to targets up to its own. Padding sees itself alone.
AttentionPattern joint_pattern(const Batch& batch);

// Adds (1, H, T, T) scores to a pattern, writing causality out where it was implied.
void add_scores(AttentionPattern& pattern, const at::Tensor& scores);

}  // namespace lacuna
