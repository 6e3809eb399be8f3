// The sum of squares of a flat buffer: float32 within blocks of 4096, double precision over the blocks.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

// values: contiguous float32. Not finite where an element is not. Waits for the device where the values are on one; a step that
// must not wait uses squared_norm_cuda.h.
double squared_norm(const at::Tensor& values);

}  // namespace lacuna
