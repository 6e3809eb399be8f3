// The device side of rms_norm.h. Matrices are (rows, width) without gaps; null outputs are not written.
#pragma once
#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

struct RmsNorm {
  int64_t rows, width;
  float epsilon;
  const void *x, *weight;  // (rows, width), (width)
};
void rms_norm(const RmsNorm& arguments, void* y, Element element, cudaStream_t stream);
// dx, and the weight's gradient as a row each, to be added up.
void rms_norm_backward(const RmsNorm& arguments, const void* dy, void* dx, void* d_weight_rows, Element element,
                       cudaStream_t stream);
// From v, the gradient of that dx: the gradients of dy and x, and the weight's as a row each.
void rms_norm_backward_twice(const RmsNorm& arguments, const void* dy, const void* v, void* d_dy, void* d_x, void* d_weight_rows,
                             Element element, cudaStream_t stream);

}  // namespace lacuna::cuda
