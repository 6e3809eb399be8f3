// What the first block of a patch encoder reads: class tokens, and embedded patches with their positions, a learned vector in place of
// masked ones. On a device one pass forward and one backward, in place of a choice, an addition, a concatenation and their gradients.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

struct PatchStem {
  at::Tensor mask;          // (D)
  at::Tensor position;      // (at least T, D)
  at::Tensor class_tokens;  // (C, D), or undefined: C = 0
};

// patches (B, T, D), masked (B, T) bool or undefined -> (B, C + T, D). Where the weights' grad() is set the gradients of patches are
// all that autograd sees, as in linear.h.
at::Tensor patch_stem(const at::Tensor& patches, const at::Tensor& masked, const PatchStem& weights);
// The composition, on any device: the oracle.
at::Tensor patch_stem_reference(const at::Tensor& patches, const at::Tensor& masked, const PatchStem& weights);

}  // namespace lacuna
