// Sums of a matrix's columns, which is what the gradient of a bias is.
#pragma once
#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

// Bytes of device workspace that column_sum and activation_backward need for the sums of a (rows, columns) matrix.
int64_t column_sum_workspace(int64_t rows, int64_t columns);

// sums[c] += the sum over the rows of values[row][c], in float32 and in a fixed order. values (rows, columns), `stride` elements
// from row to row.
void column_sum(Element element, int64_t rows, int64_t columns, const void* values, int64_t stride, float* sums, void* workspace,
                cudaStream_t stream);

// sums[c] += the sum over p of partial[p][c]; partial (num_partial, columns), contiguous.
void add_partial_sums(int64_t num_partial, int64_t columns, const float* partial, float* sums, cudaStream_t stream);

}  // namespace lacuna::cuda
