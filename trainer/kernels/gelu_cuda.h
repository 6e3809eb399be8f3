// GELU in its tanh form (Hendrycks and Gimpel 2016) as passes of their own, for where a GEMM's epilogue does not do it or does it
// slower. Matrices are (rows, columns) with a stride in elements from row to row.
#pragma once
#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

// out = gelu(in).
void gelu(Element element, int64_t rows, int64_t columns, const void* in, int64_t in_stride, void* out, int64_t out_stride,
          cudaStream_t stream);

// gradient *= gelu'(in), in place, and sums[c] += the sum of the result's column c, in float32 and in a fixed order, where `sums`
// is not null; `workspace` (column_sum_workspace) is needed for that alone.
void gelu_backward(Element element, int64_t rows, int64_t columns, const void* in, int64_t in_stride, void* gradient,
                   int64_t gradient_stride, float* sums, void* workspace, cudaStream_t stream);

}  // namespace lacuna::cuda
