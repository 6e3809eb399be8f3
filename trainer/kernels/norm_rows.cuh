// How the norms' kernels lay rows on the device. A row of up to 8 * 32 * kMaxChunks * 8 elements stays with one to eight warps
// and is read once; wider or unaligned ones have kernels of their own.
#pragma once
#include <type_traits>

#include "trainer/kernels/chunk.cuh"

namespace lacuna::cuda::norm_rows {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kMaxChunks = 4;  // of one lane

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  return x;
}

// The sum over the `warps` neighbouring warps that share a row, in a fixed order. All threads of the block call it together;
// `slots` has a place per warp and is free again after the next barrier.
__device__ __forceinline__ float row_sum(float x, int warps, float* slots) {
  x = warp_sum(x);
  if (warps == 1) return x;
  const int warp = threadIdx.x / 32;
  if (threadIdx.x % 32 == 0) slots[warp] = x;
  __syncthreads();
  float total = 0;
  for (int i = warp / warps * warps, end = i + warps; i < end; ++i) total += slots[i];
  return total;
}

// One expression for all kernels, so that what is computed again has the same bits.
__device__ __forceinline__ float normalized(float x, float mean, float rstd, float weight, float bias) {
  return __fmaf_rn(__fmul_rn(__fsub_rn(x, mean), rstd), weight, bias);
}

// How rows lie on a block: `warps` warps a row, lane l of them has the chunks l, l + 32 * warps, ...
struct RowLayout {
  int warps, chunks;

  __host__ __device__ int rows_of_block() const { return kWarps / warps; }
  static RowLayout of(int64_t width) {
    const auto chunks_of_row = ceil_divide(width, kChunk);
    int warps = 1;
    while (warps < kWarps && warps * 32 * kMaxChunks < chunks_of_row) warps *= 2;
    return {warps, static_cast<int>(ceil_divide(chunks_of_row, warps * 32))};
  }
};

// Calls launch(number of chunks of a lane, as a constant).
template <class Launch>
void with_chunks(int chunks, const Launch& launch) {
  switch (chunks) {
    case 1:
      return launch(std::integral_constant<int, 1>{});
    case 2:
      return launch(std::integral_constant<int, 2>{});
    case 3:
      return launch(std::integral_constant<int, 3>{});
    default:
      return launch(std::integral_constant<int, kMaxChunks>{});
  }
}

}  // namespace lacuna::cuda::norm_rows
