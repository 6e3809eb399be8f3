// The device side of joint_softmax.h. Matrices are (rows, keys) without gaps, those of `own` (rows).
#pragma once
#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

// Rows are (B, H, T); of row ((b H) + h) T + t the mask's begins at b * mask_batch_stride + t * mask_row_stride.
struct JointSoftmax {
  int64_t rows, keys;
  int64_t heads, length;  // H, T
  const float* mask;
  int64_t mask_batch_stride, mask_row_stride;
};
void joint_softmax(const JointSoftmax& arguments, const void* scores, const void* own, void* shares, void* own_shares,
                   Element element, cudaStream_t stream);
// From the gradients `by` of shares those of scores. `rows` and `keys` alone are read of the arguments.
void joint_softmax_backward(const JointSoftmax& arguments, const void* shares, const void* own_shares, const void* by,
                            const void* own_by, void* out, void* own_out, Element element, cudaStream_t stream);
// Of the function above, from the gradients `of` of what it returned: those of `by`, and those of the shares.
struct SharesTwice {
  const void *shares, *own_shares, *by, *own_by, *of, *own_of;
  void *d_by, *own_d_by, *d_shares, *own_d_shares;
};
void joint_softmax_backward_twice(const JointSoftmax& arguments, const SharesTwice& tensors, Element element,
                                  cudaStream_t stream);

}  // namespace lacuna::cuda
