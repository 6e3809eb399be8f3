// Sums of squares of a flat fp32 buffer on the device, in an order that depends on nothing but its length.
#pragma once
#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

constexpr int64_t kSquaredNormWorkspace = 2 * 528;  // doubles

// sums[0]: over the lines whose bit in `mask` (line_mask.h, of the whole flat buffer) is clear, everything where mask is null;
// sums[1]: over those whose bit is set. With partitioned parameters marked, the second is what is summed over the tensor axis.
// values (count), aligned to 16 bytes, start at element `begin` of that buffer, a multiple of 32. Not finite where an element is
// not. Throws Error(internal) for values that are not aligned.
void squared_norm(double* sums, const float* values, int64_t count, const uint32_t* mask, int64_t begin, double* workspace,
                  cudaStream_t stream);

}  // namespace lacuna::cuda
