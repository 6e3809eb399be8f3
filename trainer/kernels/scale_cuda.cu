#include <algorithm>

#include "trainer/kernels/chunk.cuh"
#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/scale_cuda.h"

namespace lacuna::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 8 * 132;  // few, so that a factor of 1 costs little more than the launch

template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void scale_kernel(T* x, int64_t packs, const float* factor) {
  const float f = *factor;
  if (f == 1) return;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < packs;
       i += static_cast<int64_t>(gridDim.x) * kThreads) {
    float values[kWidth];
    load_floats<kWidth>(x + i * kWidth, values);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) values[j] *= f;
    store_floats<kWidth>(x + i * kWidth, values);
  }
}

}  // namespace

void scale(void* x, int64_t count, const float* factor, Element element, cudaStream_t stream) {
  if (count == 0) return;
  dispatch(element, in_chunks(count, {x}), [&](auto type, auto width) {
    using T = decltype(type);
    constexpr int kWidth = decltype(width)::value;
    const auto blocks = static_cast<unsigned>(std::min(ceil_divide(count / kWidth, kThreads), kMostBlocks));
    scale_kernel<T, kWidth><<<blocks, kThreads, 0, stream>>>(static_cast<T*>(x), count / kWidth, factor);
  });
  check_launch("scale");
}

}  // namespace lacuna::cuda
