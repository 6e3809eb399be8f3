// The sum of squares of a flat buffer: float32 within blocks of 4096, double precision over the blocks.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

// values: contiguous float32. Returns (1) float64 on the same device, not finite where an element is not.
at::Tensor squared_norm(const at::Tensor& values);

// Of a whole flat buffer in two parts, (2) float64: over the lines (line_mask.h, int32) that are not marked, and over those that
// are.
at::Tensor squared_norms(const at::Tensor& values, const at::Tensor& marked);

}  // namespace lacuna
