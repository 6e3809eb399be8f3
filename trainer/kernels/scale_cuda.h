// The device side of scale.h.
#pragma once
#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

void scale(void* x, int64_t count, const float* factor, Element element, cudaStream_t stream);

}  // namespace lacuna::cuda
