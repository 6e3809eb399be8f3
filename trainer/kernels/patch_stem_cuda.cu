#include "trainer/kernels/chunk.cuh"
#include "trainer/kernels/column_sum_cuda.h"
#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/patch_stem_cuda.h"

namespace lacuna::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kUnroll = 8;  // rows of the batch whose loads are in flight together

// A thread makes one chunk of one position of the output.
template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void stem_kernel(PatchStemShape s, const T* patches, const T* mask, const T* position,
                                                        const T* class_tokens, T* out) {
  const int64_t chunks = s.width / kWidth, places = s.num_class_tokens + s.length;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= s.rows * places * chunks) return;
  const int64_t row = i / (places * chunks), place = i / chunks % places, column = i % chunks * kWidth;
  T* const to = out + i * kWidth;
  if (place < s.num_class_tokens) return store<kWidth>(to, load<kWidth>(class_tokens + place * s.width + column));
  const int64_t patch = place - s.num_class_tokens, at = row * s.length + patch;
  const bool hidden = s.masked != nullptr && s.masked[at];
  float x[kWidth], p[kWidth];
  load_floats<kWidth>(hidden ? mask + column : patches + at * s.width + column, x);
  load_floats<kWidth>(position + patch * s.width + column, p);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) x[j] += p[j];
  store_floats<kWidth>(to, x);
}

// A thread takes one chunk of one position through all rows of the batch. workspace[patch] gets what reaches the mask there.
template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void stem_backward_kernel(PatchStemShape s, const T* d_out, T* d_patches,
                                                                 PatchStemGradients gradients, float* workspace) {
  const int64_t chunks = s.width / kWidth, places = s.num_class_tokens + s.length;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= places * chunks) return;
  const int64_t place = i / chunks, column = i % chunks * kWidth, patch = place - s.num_class_tokens;
  const bool is_patch = patch >= 0;
  float all[kWidth] = {}, at_mask[kWidth] = {};
  for (int64_t first = 0; first < s.rows; first += kUnroll) {
    Pack<T, kWidth> above[kUnroll];
    bool hidden[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (first + u >= s.rows) continue;
      above[u] = load_once<kWidth>(d_out + ((first + u) * places + place) * s.width + column);
      hidden[u] = is_patch && s.masked != nullptr && s.masked[(first + u) * s.length + patch];
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (first + u >= s.rows) continue;
      float d[kWidth];
      unpack<T, kWidth>(above[u], d);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        all[j] += d[j];
        if (!hidden[u]) continue;
        at_mask[j] += d[j];
        d[j] = 0;
      }
      if (is_patch) store_floats<kWidth>(d_patches + ((first + u) * s.length + patch) * s.width + column, d);
    }
  }
  float* const sums = is_patch ? gradients.position + patch * s.width : gradients.class_tokens + place * s.width;
#pragma unroll
  for (int j = 0; j < kWidth; ++j) sums[column + j] += all[j];
  if (is_patch) store_floats<kWidth>(workspace + patch * s.width + column, at_mask);
}

unsigned blocks_for(int64_t threads) { return static_cast<unsigned>(ceil_divide(threads, kThreads)); }

}  // namespace

void patch_stem(const PatchStemShape& s, const void* patches, const void* mask, const void* position, const void* class_tokens,
                void* out, Element element, cudaStream_t stream) {
  const int64_t n = s.rows * (s.num_class_tokens + s.length) * s.width;
  if (n == 0) return;
  dispatch(element, in_chunks(s.width, {patches, mask, position, class_tokens, out}), [&](auto type, auto width) {
    using T = decltype(type);
    constexpr int kWidth = decltype(width)::value;
    stem_kernel<T, kWidth><<<blocks_for(n / kWidth), kThreads, 0, stream>>>(
        s, static_cast<const T*>(patches), static_cast<const T*>(mask), static_cast<const T*>(position),
        static_cast<const T*>(class_tokens), static_cast<T*>(out));
  });
  check_launch("patch_stem");
}

void patch_stem_backward(const PatchStemShape& s, const void* d_out, void* d_patches, const PatchStemGradients& gradients,
                         float* workspace, Element element, cudaStream_t stream) {
  const int64_t n = (s.num_class_tokens + s.length) * s.width;
  if (s.rows == 0 || n == 0) return;
  dispatch(element, in_chunks(s.width, {d_out, d_patches, workspace}), [&](auto type, auto width) {
    using T = decltype(type);
    constexpr int kWidth = decltype(width)::value;
    stem_backward_kernel<T, kWidth><<<blocks_for(n / kWidth), kThreads, 0, stream>>>(
        s, static_cast<const T*>(d_out), static_cast<T*>(d_patches), gradients, workspace);
  });
  check_launch("patch_stem_backward");
  if (s.masked != nullptr) add_partial_sums(s.length, s.width, workspace, gradients.mask, stream);
}

}  // namespace lacuna::cuda
