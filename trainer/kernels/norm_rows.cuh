// How the norms' kernels lay rows on the device. A row of up to 8 * 32 * kMaxChunks * 8 elements stays with one to eight warps
// and is read once; wider or unaligned ones have kernels of their own.
#pragma once
#include <type_traits>

#include "trainer/kernels/chunk.cuh"
#include "trainer/kernels/warp.cuh"

namespace lacuna::cuda::norm_rows {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kMaxChunks = 4;  // of one lane

// Waits for the warps of a row; the rows of a block do not wait for one another.
template <int kRowWarps>
__device__ __forceinline__ void row_barrier() {
  if constexpr (kRowWarps > 1) {
    const unsigned barrier = threadIdx.x / (32 * kRowWarps) + 1;
    asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(32 * kRowWarps) : "memory");
  }
}

// The sum over the kRowWarps neighbouring warps that share a row, in a fixed order; all of their threads call it together.
// `slots` has a place per warp of the block, and is free again after the row's next barrier.
template <int kRowWarps>
__device__ __forceinline__ float row_sum(float x, float* slots) {
  x = warp_sum(x);
  if constexpr (kRowWarps > 1) {
    const int warp = threadIdx.x / 32, first = warp / kRowWarps * kRowWarps;
    if (threadIdx.x % 32 == 0) slots[warp] = x;
    row_barrier<kRowWarps>();
    x = 0;
#pragma unroll
    for (int i = 0; i < kRowWarps; ++i) x += slots[first + i];
  }
  return x;
}

// One expression for all kernels, so that what is computed again has the same bits.
__device__ __forceinline__ float normalized(float x, float mean, float rstd, float weight, float bias) {
  return __fmaf_rn(__fmul_rn(__fsub_rn(x, mean), rstd), weight, bias);
}

// How rows lie on a block: kRowWarps warps a row; a lane has kChunks chunks, kStep elements apart. All but its last are there.
template <class T, int kChunksOfLane, int kRowWarps>
struct RowLayout {
  static constexpr int kRowThreads = 32 * kRowWarps, kRows = kWarps / kRowWarps, kStep = kRowThreads * kChunk;
  int width, lane, group;
  int column;  // of the lane's first chunk
  bool last;   // whether its last chunk is there

  __device__ explicit RowLayout(int64_t row_width)
      : width(static_cast<int>(row_width)),
        lane(threadIdx.x % kRowThreads),
        group(threadIdx.x / kRowThreads),
        column(lane * kChunk),
        last(column + (kChunksOfLane - 1) * kStep < width) {}
  __device__ bool has(int k) const { return k + 1 < kChunksOfLane || last; }
};

template <int kValue>
using Constant = std::integral_constant<int, kValue>;

inline bool fits_a_block(int64_t width) { return width <= int64_t{kChunk} * 32 * kMaxChunks * kWarps; }

// Calls launch(chunks of a lane, warps of a row), both constants, with the fewest warps that have room for a row at kMost chunks
// a lane, or else with all, and the fewest chunks that then hold it.
template <int kMost = kMaxChunks, class Launch>
void with_layout(int64_t width, const Launch& launch) {
  static_assert(kMaxChunks == 4 && kWarps == 8 && (kMost == 2 || kMost == 4));
  const auto chunks = ceil_divide(width, kChunk);
  const auto rest = [&](auto warps) {  // more than half of kMost chunks a lane, or half the warps would have done
    const auto of_lane = ceil_divide(chunks, 32 * decltype(warps)::value);
    if constexpr (kMost == 2) {
      if (of_lane <= 2) return launch(Constant<2>{}, warps);
    }
    if constexpr (kMost == 4 || decltype(warps)::value == kWarps) {
      of_lane <= 3 ? launch(Constant<3>{}, warps) : launch(Constant<4>{}, warps);
    }
  };
  if (chunks <= 32) return launch(Constant<1>{}, Constant<1>{});
  if (chunks <= 64) return launch(Constant<2>{}, Constant<1>{});
  if (chunks <= 32 * kMost) return rest(Constant<1>{});
  if (chunks <= 64 * kMost) return rest(Constant<2>{});
  if (chunks <= 128 * kMost) return rest(Constant<4>{});
  rest(Constant<8>{});
}

}  // namespace lacuna::cuda::norm_rows
