// y = x W^T + b and its derivatives as single products, for fixed sequences of kernels; autograd sees none of it. Activations
// (..., features) are contiguous, fp32 or bf16; W (out, in) and b (out) are of the same type; gradients of W and b are fp32 and
// added to. On a device they are cuBLASLt products with what follows them folded in.
#pragma once
#include <ATen/core/Tensor.h>

#include "trainer/kernels/activations.h"

namespace lacuna {

struct AffineWeights {
  at::Tensor weight, bias;                    // bias may be undefined
  at::Tensor weight_gradient, bias_gradient;  // fp32; bias_gradient is undefined with the bias
};

at::Tensor affine(const at::Tensor& x, const AffineWeights& w);

// f(x W^T + b); `before` gets what the function was applied to. On a device the tanh form of GELU can be part of the product.
at::Tensor affine_activation(Nonlinearity f, const at::Tensor& x, const AffineWeights& w, at::Tensor& before);

// dx = dy W.
at::Tensor affine_input_gradient(const at::Tensor& dy, const AffineWeights& w);

// (dy W) f'(before), the gradient of `before` where y = f(before) W^T + b; adds its column sums to `bias_gradient` (float32, may be
// undefined).
at::Tensor affine_input_gradient_through(Nonlinearity f, const at::Tensor& dy, const AffineWeights& w, const at::Tensor& before,
                                         const at::Tensor& bias_gradient);

// W's gradient += dy^T x and, with_bias, b's += the column sums of dy.
void add_affine_gradients(const at::Tensor& dy, const at::Tensor& x, const AffineWeights& w, bool with_bias = true);

// W's gradient = dy^T x, or += that.
void weight_gradient(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gradient, bool accumulate);

}  // namespace lacuna
