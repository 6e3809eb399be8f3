// The functions between the two products of a feed-forward half, and their derivatives, for fixed sequences of kernels; autograd
// sees none of it. Tensors are contiguous, fp32 or bf16, and computed in fp32. Outputs that are given are written, those that are
// undefined are made.
#pragma once
#include <ATen/core/Tensor.h>

#include "trainer/kernels/activations_cuda.h"  // Nonlinearity

namespace lacuna {

// f(x). y may be x.
at::Tensor activation(Nonlinearity f, const at::Tensor& x, at::Tensor y = {});

// dy *= f'(x), in place; adds the column sums of that to `sums` (features) float32, where it is defined.
void activation_backward(Nonlinearity f, const at::Tensor& dy, const at::Tensor& x, const at::Tensor& sums = {});

// packed (..., 2 F) holds the gate in its first F columns: f(gate) * up, (..., F). SwiGLU with silu, GEGLU with gelu (Shazeer
// 2020).
at::Tensor gated_activation(Nonlinearity f, const at::Tensor& packed, at::Tensor y = {});

// The gradient of packed; d_packed may be packed. Where y (..., F) is defined it gets the output again, and may be dy.
at::Tensor gated_activation_backward(Nonlinearity f, const at::Tensor& dy, const at::Tensor& packed, at::Tensor d_packed = {},
                                     at::Tensor y = {});

}  // namespace lacuna
