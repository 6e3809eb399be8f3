// The sum of squares of a flat buffer: float32 within blocks of 4096, double precision over the blocks.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

// values: contiguous float32. Returns (1) float64 on the same device, not finite where an element is not.
at::Tensor squared_norm(const at::Tensor& values);

}  // namespace lacuna
