// The device side of rotary.h.
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

// (B, H, T, d) with strides in elements, those of d 1.
template <class Pointer>
struct StridedHeads {
  Pointer data;
  int64_t row, head, position;
};
struct Turn {
  int64_t rows, heads, length, head_size;
  StridedHeads<const void*> x;
  StridedHeads<void*> out;
  const float *cosine, *sine;  // (T, d), or one after the other of each row
  int64_t angles_stride;       // from row to row; 0: all rows have the same
  float scale;
  bool inverse;
};
// out = scale * x turned, from one buffer to another.
void turn(const Turn& arguments, Element element, cudaStream_t stream);

}  // namespace lacuna::cuda
