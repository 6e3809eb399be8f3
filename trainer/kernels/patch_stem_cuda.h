// The device side of patch_stem.h. Everything is contiguous.
#pragma once
#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

struct PatchStemShape {
  int64_t rows, length, num_class_tokens, width;  // B, T, C, D
  const bool* masked;                             // (B, T), or null
};

// patches (B, T, D), mask (D), position (T, D), class_tokens (C, D) -> out (B, C + T, D).
void patch_stem(const PatchStemShape& shape, const void* patches, const void* mask, const void* position, const void* class_tokens,
                void* out, Element element, cudaStream_t stream);

struct PatchStemGradients {
  float *mask, *position, *class_tokens;  // added to
};

// From d_out (B, C + T, D) the gradient of patches, and in a fixed order those of the weights. workspace (T, D).
void patch_stem_backward(const PatchStemShape& shape, const void* d_out, void* d_patches, const PatchStemGradients& gradients,
                         float* workspace, Element element, cudaStream_t stream);

}  // namespace lacuna::cuda
