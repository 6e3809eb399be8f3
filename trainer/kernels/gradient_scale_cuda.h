// The two numbers between the gradient's norm and the update, in one launch.
#pragma once
#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

// As optim/gradient_norm.h defines them, all in device memory: *norm = sqrt(*squared_norm) / *count; *scale = 1 / *count, less where
// limit > 0 and the norm is above it, NaN where the norm or *loss is not finite.
void gradient_scale(double* norm, float* scale, const double* squared_norm, const double* count, const double* loss, double limit,
                    cudaStream_t stream);

}  // namespace lacuna::cuda
