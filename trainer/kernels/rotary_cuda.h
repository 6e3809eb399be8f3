// The device side of turn_heads in rotary.h.
#pragma once
#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

struct Rotary {
  int64_t tokens;                          // B * T rows of qkv
  int64_t length;                          // T: without positions, row n stands at n % T
  int64_t heads_turned, heads, head_size;  // of a row's `heads` heads (all of H + 2 K) the first heads_turned (H + K) turn
  void* qkv;                               // (tokens, heads * head_size)
  const float *cosine, *sine;              // (num_positions, head_size / 2)
  int64_t num_positions;                   // a position outside gives NaN
  const int32_t* positions;                // (tokens), or null
  bool inverse;                            // turns back: the derivative
};
void rotary(const Rotary& arguments, Element element, cudaStream_t stream);

}  // namespace lacuna::cuda
