// The sum of squares of a flat buffer: float32 within blocks of 4096, double precision over the blocks.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

// values: contiguous float32. Returns (1) float64 on the same device, not finite where an element is not.
at::Tensor squared_norm(const at::Tensor& values);

// In two parts, (2) float64: over the lines (line_mask.h, int32, of the whole flat buffer) that are not marked, and over those that
// are. `values` begin at element `begin` of that buffer, a multiple of 32.
at::Tensor squared_norms(const at::Tensor& values, const at::Tensor& marked, int64_t begin = 0);

}  // namespace lacuna
