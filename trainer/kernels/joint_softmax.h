// One softmax over scores with others and a score with oneself, which lie in two tensors: what a candidate attends with, beside the
// text (Gladstone et al. 2025, section 3.3). For networks whose slopes are differentiated again: on the host a composition; on a
// device the shares, their gradients and their derivatives are a pass over the scores each.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

struct Shares {
  at::Tensor others;  // (B, H, T, keys)
  at::Tensor own;     // (B, H, T, 1); together they add up to one
};

// scores (B, H, T, keys), own (B, H, T, 1), mask float32 (B or 1, 1, T, keys) with rows without gaps, added to the scores: -inf where
// nothing is to be seen.
Shares joint_softmax(const at::Tensor& scores, const at::Tensor& own, const at::Tensor& mask);
// The composition, on any device: the oracle.
Shares joint_softmax_reference(const at::Tensor& scores, const at::Tensor& own, const at::Tensor& mask);

}  // namespace lacuna
