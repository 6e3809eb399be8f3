// AdamW on the device: one launch over a range of the flat buffers reads parameters, gradients and both moments once and writes
// what changed, the compute copy of the parameters and the cleared gradients included.
#pragma once
#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

// Device pointers to the range's first element, each aligned to 16 bytes.
struct AdamWUpdate {
  float *parameters, *first, *second;  // (count)
  float* gradients;                    // (count), read; written only with zero_gradients
  void* bf16_copy = nullptr;           // (count) the new parameters rounded to bf16; null for none
  int64_t count;
  bool zero_gradients = false;  // also where the update is skipped, so that the next step starts from nothing

  float beta1, beta2, epsilon, weight_decay;
  float rate = 1;  // times the learning rate
  const uint32_t* decays = nullptr;  // line mask (line_mask.h) of the whole flat buffer; null: everything decays
  int64_t begin = 0;                 // the range's first element in that buffer, a multiple of 32

  const float* scalars;         // (4): learning rate, factor of the gradients, 1 - beta1^t, 1 - beta2^t
  const float* skip = nullptr;  // (1): where it is not 0, no parameter and no moment is written; null: never
};

// The update that trainer/kernels/adamw.h states. Throws Error(internal) for pointers that are not aligned.
void adamw(const AdamWUpdate& update, cudaStream_t stream);

}  // namespace lacuna::cuda
