// Numbers as launch arguments.
#pragma once
#include <initializer_list>

#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

// destination[i] = values[i], at most 8 of them.
void set_values(float* destination, std::initializer_list<double> values, cudaStream_t stream);
void set_values(double* destination, std::initializer_list<double> values, cudaStream_t stream);

}  // namespace lacuna::cuda
