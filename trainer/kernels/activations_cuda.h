// The device side of activations.h; also the legend of the functions, without LibTorch.
#pragma once
#include "trainer/kernels/cuda_types.h"

namespace lacuna {

// gelu = x Phi(x) (Hendrycks and Gimpel 2016), gelu_tanh its approximation there, silu = x sigmoid(x).
enum class Nonlinearity : int { gelu, gelu_tanh, silu };

namespace cuda {

// Matrices are (rows, columns) with a stride in elements from row to row.

// y = f(x). y may be x.
void activation(Nonlinearity f, Element element, int64_t rows, int64_t columns, const void* x, int64_t x_stride, void* y,
                int64_t y_stride, cudaStream_t stream);

// gradient *= f'(x), in place, and sums[c] += the sum of the result's column c, in float32 and in a fixed order, where `sums` is not
// null; `workspace` (column_sum_workspace) is needed for that alone.
void activation_backward(Nonlinearity f, Element element, int64_t rows, int64_t columns, const void* x, int64_t x_stride,
                         void* gradient, int64_t gradient_stride, float* sums, void* workspace, cudaStream_t stream);

// packed (rows, 2 size): a row is [gate, up]. y (rows, size) = f(gate) up.
void gated_activation(Nonlinearity f, const void* packed, void* y, int64_t rows, int64_t size, Element element,
                      cudaStream_t stream);

// d_packed (rows, 2 size) from dy (rows, size), and y where it is not null. d_packed may be packed, y may be dy.
void gated_activation_backward(Nonlinearity f, const void* dy, const void* packed, void* d_packed, void* y, int64_t rows,
                               int64_t size, Element element, cudaStream_t stream);

}  // namespace cuda
}  // namespace lacuna
