// The device side of residual_norm.h. Rows are contiguous; every tensor of type Element is of the one given. Memory that may be
// shared is named; rows are whole before they are written, so an input may also be its own output.
#pragma once
#include <cstddef>

#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

struct NormForward {
  int64_t rows, width;
  const void* residual;
  const void* delta;  // null: the sum is the residual
  const void* weight;
  const void* bias;  // null: none
  void* sum;         // may be the residual; null: not stored
  void* normed;
  float* mean;  // (rows); null: RMSNorm, which has no mean
  float* rstd;  // (rows)
  float epsilon;
};
void residual_norm(const NormForward& arguments, Element element, cudaStream_t stream);

struct NormRecompute {
  int64_t rows, width;
  const void *sum, *weight, *bias;
  const float *mean, *rstd;
  void* normed;
};
void renormed(const NormRecompute& arguments, Element element, cudaStream_t stream);

struct NormBackward {
  int64_t rows, width;
  const void* d_normed;
  const void* d_sum;  // null: nothing reaches the sum from above
  const void* sum;
  const void* weight;
  const float *mean, *rstd;
  void* d;          // may be d_sum or d_normed
  float* d_weight;  // added to
  float* d_bias;    // added to; null: none
  float* column_sums;  // of d, added to; null: none
  float* workspace;
};
void residual_norm_backward(const NormBackward& arguments, Element element, cudaStream_t stream);
size_t residual_norm_backward_workspace(int64_t width);  // bytes

}  // namespace lacuna::cuda
