// x *= factor, where the factor is mostly 1 and known on the device alone.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

// x fp32 or bf16, contiguous; factor one float32 on x's device. A factor of 1 costs no pass over x.
void scale(at::Tensor& x, const at::Tensor& factor);

}  // namespace lacuna
