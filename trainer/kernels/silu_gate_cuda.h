// The device side of silu_gate.h. Matrices have no gaps.
#pragma once
#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

struct SiluGate {
  int64_t rows, width;  // F
  const void* packed;   // (rows, 2 F)
};
void silu_gate(const SiluGate& arguments, void* y, Element element, cudaStream_t stream);
// d_packed (rows, 2 F) from dy (rows, F).
void silu_gate_backward(const SiluGate& arguments, const void* dy, void* d_packed, Element element, cudaStream_t stream);
// From the gradient `of` (rows, 2 F) of that d_packed: those of dy and of packed.
void silu_gate_backward_twice(const SiluGate& arguments, const void* dy, const void* of, void* d_dy, void* d_packed,
                              Element element, cudaStream_t stream);

}  // namespace lacuna::cuda
