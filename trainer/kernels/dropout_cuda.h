// The device side of dropout.h: the same masks, bit for bit.
#pragma once
#include <array>

#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

struct Dropout {
  int64_t rows, row_size;  // B, T * D
  const void* residual;    // null: none
  const void* x;
  void* y;                          // residual + mask * x; may be x or the residual
  const int64_t* stream_positions;  // (rows), on the device
  std::array<uint32_t, 2> key;      // of the site's Random
  uint64_t stream;
  uint32_t threshold;  // a draw below it drops the element
  float scale;         // of what is kept
};
void dropout(const Dropout& arguments, Element element, cudaStream_t stream);

}  // namespace lacuna::cuda
