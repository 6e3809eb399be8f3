// y = x W^T + b whose weight gradient is accumulated straight into the flat gradient buffer by the GEMM (beta = 1), so that no
// pass over the parameters is spent on adding it there.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

// x (..., in), weight (out, in), bias (out) or undefined -> (..., out).
// Where weight.grad() is set its backward adds to it in place and hands autograd an undefined gradient; elsewhere, and when a
// graph of the backward is asked for, this is at::linear with its ordinary gradients.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace lacuna
