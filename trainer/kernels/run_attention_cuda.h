// Attention inside of short runs of positions, such as the bytes of a word: a position sees those of its own run and nothing else.
// Head by head softmax(Q K^T / sqrt(d)) V over a packed buffer as in attention_cuda.h, bf16. A thread does one position of one head,
// with no tile to fill, which is what pays where runs are much shorter than tiles.
#pragma once
#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

// Head sizes are multiples of 8 up to this.
constexpr int64_t kLargestRunHead = 64;

struct RunAttention {
  // positions: B T; heads have keys of their own.
  int64_t positions, num_heads, head_size;
  bool causal;                 // key <= query
  const int64_t *first, *end;  // (positions): where the run of each begins and ends, in positions of the buffer
  const void* packed;          // (positions, 3 H d)
};
// out (positions, H d); log_sums (positions, H) float32, kept for backward.
void run_attention(const RunAttention& arguments, void* out, float* log_sums, cudaStream_t stream);
// Writes all of packed_gradient.
void run_attention_backward(const RunAttention& arguments, const void* out, const float* log_sums, const void* out_gradient,
                            void* packed_gradient, cudaStream_t stream);

}  // namespace lacuna::cuda
