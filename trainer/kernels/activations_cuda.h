// The device side of activations.h; also the legend of the functions, without LibTorch.
#pragma once
#include "trainer/kernels/cuda_types.h"

namespace lacuna {

// gelu = x Phi(x) (Hendrycks and Gimpel 2016), gelu_tanh its approximation there, silu = x sigmoid(x).
enum class Nonlinearity : int { gelu, gelu_tanh, silu };

namespace cuda {

// y = f(x), n elements. y may be x.
void activation(Nonlinearity f, const void* x, void* y, int64_t n, Element element, cudaStream_t stream);

// dx = dy f'(x), and y = f(x) where y is not null. dx may be dy or x, y may be x or dy.
void activation_backward(Nonlinearity f, const void* dy, const void* x, void* dx, void* y, int64_t n, Element element,
                         cudaStream_t stream);

// packed (rows, 2 size): a row is [gate, up]. y (rows, size) = f(gate) up.
void gated_activation(Nonlinearity f, const void* packed, void* y, int64_t rows, int64_t size, Element element,
                      cudaStream_t stream);

// d_packed (rows, 2 size) from dy (rows, size), and y where it is not null. d_packed may be packed, y may be dy.
void gated_activation_backward(Nonlinearity f, const void* dy, const void* packed, void* d_packed, void* y, int64_t rows,
                               int64_t size, Element element, cudaStream_t stream);

}  // namespace cuda
}  // namespace lacuna
