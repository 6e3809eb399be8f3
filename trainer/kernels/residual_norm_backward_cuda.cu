// Blocks stay on the device and walk over the rows, so that each adds up its share of the parameters' gradients and of the column
// sums of what it writes; a second kernel adds the shares, always in the same order.
#include <cuda_pipeline.h>

#include <algorithm>

#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/norm_rows.cuh"
#include "trainer/kernels/residual_norm_cuda.h"

namespace lacuna::cuda {
namespace {

using namespace norm_rows;

constexpr int kBlocksPerProcessor = 2;  // of the backward, which stays on the device and walks over the rows
constexpr int kMostChunks = 2;          // of one lane where there are warps enough: three sums of each column are in registers

enum Share { kWeight, kBias, kColumns, kNumShares };  // what a block adds up: for the norm's weight and bias, and of d itself

// This block's share, a row of the workspace (kNumShares, blocks, width).
__device__ __forceinline__ float* share_of(const NormBackward& a, int number) {
  return a.workspace + (static_cast<int64_t>(number) * gridDim.x + blockIdx.x) * a.width;
}

// The warps of a row walk over rows, and copy their next row into shared memory while they work on the present one; a lane copies
// what it reads itself, so the copies need no barrier. The weights' gradients of the lane's columns grow in its registers.
template <class T, int kChunks, int kRowWarps, bool kCentred, bool kSums>
__global__ __launch_bounds__(kThreads, sizeof(T) == 2 ? kBlocksPerProcessor : 1) void norm_backward_rows(NormBackward a) {
  using Layout = RowLayout<T, kChunks, kRowWarps>;
  constexpr int kWords = sizeof(Pack<T, kChunk>) / sizeof(uint4);
  constexpr int kInputs = 3, kStageWords = kInputs * kChunks * kWords * 32;
  extern __shared__ uint4 shared[];
  __shared__ float slots[2][2][kWarps];
  const Layout layout(a.width);
  uint4* const mine = shared + threadIdx.x / 32 * (2 * kStageWords) + threadIdx.x % 32;
  const auto place = [&](int stage, int input, int k) {
    return mine + stage * kStageWords + (input * kChunks + k) * kWords * 32;
  };
  const auto read = [&](int stage, int input, int k, float(&values)[kChunk]) {
    Pack<T, kChunk> pack;
#pragma unroll
    for (int w = 0; w < kWords; ++w) pack.word[w] = place(stage, input, k)[w * 32];
    unpack<T, kChunk>(pack, values);
  };
  const auto copy = [&](const void* input, int number, int64_t offset, int stage) {
    const T* from = static_cast<const T*>(input) + offset;
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      if (!layout.has(k)) continue;
#pragma unroll
      for (int w = 0; w < kWords; ++w) {
        __pipeline_memcpy_async(place(stage, number, k) + w * 32, reinterpret_cast<const uint4*>(from + k * Layout::kStep) + w,
                                sizeof(uint4));
      }
    }
  };
  const auto fetch = [&](int64_t row, int64_t offset, int stage) {
    if (row >= 0) {
      copy(a.d_normed, 0, offset, stage);
      copy(a.sum, 1, offset, stage);
      if (a.d_sum != nullptr) copy(a.d_sum, 2, offset, stage);
    }
    __pipeline_commit();
  };

  // Weights stay in registers where those suffice for it, and else come from the first-level cache.
  constexpr bool kKeeps = kChunks < kMaxChunks;
  const T* const weight_row = static_cast<const T*>(a.weight) + layout.column;
  Pack<T, kChunk> kept[kKeeps ? kChunks : 1] = {};
  if constexpr (kKeeps) {
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      if (layout.has(k)) kept[k] = load<kChunk>(weight_row + k * Layout::kStep);
    }
  }
  const auto weight_of = [&](int k, float(&values)[kChunk]) {
    if constexpr (kKeeps) {
      unpack<T, kChunk>(kept[k], values);
    } else {
      load_floats<kChunk>(weight_row + k * Layout::kStep, values);
    }
  };
  float weight_gradient[kChunks][kChunk] = {}, bias_gradient[kCentred ? kChunks : 1][kChunk] = {};
  float d_sums[kSums ? kChunks : 1][kChunk] = {};
  const float share = 1.0f / layout.width;
  // From the last row to the first: the last are those that the product before this left in the cache, the first those that the
  // next one begins with.
  const int64_t stride = static_cast<int64_t>(gridDim.x) * Layout::kRows, advance = stride * a.width;
  int64_t row = a.rows - 1 - (static_cast<int64_t>(blockIdx.x) * Layout::kRows + layout.group),
          offset = row * a.width + layout.column;
  fetch(row, offset, 0);
  float next_mean = kCentred && row >= 0 ? a.mean[row] : 0.0f, next_rstd = row >= 0 ? a.rstd[row] : 0.0f;
  for (int stage = 0; row >= 0; row -= stride, offset -= advance, stage ^= 1) {
    const float mean = next_mean, rstd = next_rstd;
    fetch(row - stride, offset - advance, stage ^ 1);
    if (row >= stride) {
      next_rstd = a.rstd[row - stride];
      if constexpr (kCentred) next_mean = a.mean[row - stride];
    }
    __pipeline_wait_prior(1);

    float total = 0, projection = 0;  // of g = d_normed * weight, and of g * x_hat
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      if (!layout.has(k)) continue;
      float dy[kChunk], x[kChunk], weight[kChunk];
      read(stage, 0, k, dy);
      read(stage, 1, k, x);
      weight_of(k, weight);
#pragma unroll
      for (int j = 0; j < kChunk; ++j) {
        const float x_hat = (x[j] - mean) * rstd, g = dy[j] * weight[j];
        projection += g * x_hat;
        weight_gradient[k][j] += dy[j] * x_hat;
        if constexpr (kCentred) {
          total += g;
          bias_gradient[k][j] += dy[j];
        }
      }
    }
    // Both sums behind one barrier; this stage's slots are free again two rows on, behind the next row's barrier.
    if constexpr (kCentred) total = warp_sum(total);
    projection = warp_sum(projection);
    if constexpr (kRowWarps > 1) {
      const int warp = threadIdx.x / 32, first = warp / kRowWarps * kRowWarps;
      if (threadIdx.x % 32 == 0) {
        slots[stage][0][warp] = total;
        slots[stage][1][warp] = projection;
      }
      row_barrier<kRowWarps>();
      total = projection = 0;
#pragma unroll
      for (int i = 0; i < kRowWarps; ++i) {
        total += slots[stage][0][first + i];
        projection += slots[stage][1][first + i];
      }
    }

    // d_sum + rstd * (g - total / D - x_hat * projection / D)
    const float slope = -rstd * rstd * projection * share, shift = -rstd * total * share;
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      if (!layout.has(k)) continue;
      float dy[kChunk], x[kChunk], weight[kChunk], d[kChunk] = {};
      read(stage, 0, k, dy);
      read(stage, 1, k, x);
      if (a.d_sum != nullptr) read(stage, 2, k, d);
      weight_of(k, weight);
#pragma unroll
      for (int j = 0; j < kChunk; ++j) {
        d[j] += rstd * (dy[j] * weight[j]) + (slope * (x[j] - mean) + shift);
        if constexpr (kSums) d_sums[k][j] += d[j];
      }
      store_floats<kChunk>(static_cast<T*>(a.d) + offset + k * Layout::kStep, d);
    }
  }

  // The groups of rows of the block add up one after the other, in the memory of the copies; then the block writes its shares.
  __pipeline_wait_prior(0);
  auto* const shares = reinterpret_cast<float*>(shared);
  const auto add = [&](int number, int turn, int k, const float(&values)[kChunk]) {
    float* const share_of_lane = shares + number * layout.width + layout.column + k * Layout::kStep;
#pragma unroll
    for (int j = 0; j < kChunk; ++j) share_of_lane[j] = values[j] + (turn == 0 ? 0.0f : share_of_lane[j]);
  };
  for (int turn = 0; turn < Layout::kRows; ++turn) {
    __syncthreads();
    if (turn != layout.group) continue;
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      if (!layout.has(k)) continue;
      add(kWeight, turn, k, weight_gradient[k]);
      if constexpr (kCentred) add(kBias, turn, k, bias_gradient[k]);
      if constexpr (kSums) add(kColumns, turn, k, d_sums[k]);
    }
  }
  __syncthreads();
  const auto write = [&](int number) {
    float* const out = share_of(a, number);
    for (int c = threadIdx.x; c < layout.width; c += kThreads) out[c] = shares[number * layout.width + c];
  };
  write(kWeight);
  if constexpr (kCentred) write(kBias);
  if constexpr (kSums) write(kColumns);
}

template <class T>
__global__ __launch_bounds__(kThreads) void norm_backward_any(NormBackward a) {
  __shared__ float slots[2][2][kWarps];
  float* const weight_share = share_of(a, kWeight);
  float* const bias_share = share_of(a, kBias);
  float* const column_share = share_of(a, kColumns);
  const bool centred = a.mean != nullptr;
  for (int64_t i = threadIdx.x; i < a.width; i += kThreads) weight_share[i] = bias_share[i] = column_share[i] = 0;
  int stage = 0;
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x, stage ^= 1) {
    const float mean = centred ? a.mean[row] : 0.0f, rstd = a.rstd[row];
    const T* dy = static_cast<const T*>(a.d_normed) + row * a.width;
    const T* sum = static_cast<const T*>(a.sum) + row * a.width;
    const auto x_hat = [&](int64_t i) { return (to_float(sum[i]) - mean) * rstd; };
    const auto weighted = [&](int64_t i) { return to_float(dy[i]) * to_float(static_cast<const T*>(a.weight)[i]); };
    float total = 0, projection = 0;
    for (int64_t i = threadIdx.x; i < a.width; i += kThreads) {
      projection += weighted(i) * x_hat(i);
      weight_share[i] += to_float(dy[i]) * x_hat(i);
      if (centred) {
        total += weighted(i);
        bias_share[i] += to_float(dy[i]);
      }
    }
    total = centred ? row_sum<kWarps>(total, slots[stage][0]) / a.width : 0.0f;
    projection = row_sum<kWarps>(projection, slots[stage][1]) / a.width;
    for (int64_t i = threadIdx.x; i < a.width; i += kThreads) {
      const float above = a.d_sum == nullptr ? 0.0f : to_float(static_cast<const T*>(a.d_sum)[row * a.width + i]);
      const float d = above + rstd * (weighted(i) - total - x_hat(i) * projection);
      column_share[i] += d;
      static_cast<T*>(a.d)[row * a.width + i] = from_float<T>(d);
    }
  }
}

// Adds the blocks' shares to the gradients, always in the same order: 32 columns a block, 32 threads a column.
__global__ __launch_bounds__(1024) void add_shares(NormBackward a, int num_shares) {
  __shared__ float sums[32][33];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x;
  float* gradient = blockIdx.y == kWeight ? a.d_weight : blockIdx.y == kBias ? a.d_bias : a.column_sums;
  if (gradient == nullptr) return;
  const float* from = a.workspace + static_cast<int64_t>(blockIdx.y) * num_shares * a.width;
  float sum = 0;
  if (column < a.width) {
#pragma unroll 4
    for (int i = threadIdx.y; i < num_shares; i += 32) sum += from[i * a.width + column];
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  const float total = warp_sum(sums[threadIdx.x][threadIdx.y]);  // warp y sums column y
  const int64_t target = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.y;
  if (threadIdx.x == 0 && target < a.width) gradient[target] += total;
}

int num_processors() {
  int device = 0, count = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
  return count;
}

template <class T, int kChunks, int kRowWarps, bool kCentred, bool kSums>
void launch_rows(const NormBackward& a, int blocks, cudaStream_t stream) {
  const auto kernel = norm_backward_rows<T, kChunks, kRowWarps, kCentred, kSums>;
  const int bytes = kWarps * 2 * 3 * kChunks * 32 * static_cast<int>(sizeof(Pack<T, kChunk>));  // two stages of three inputs
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "cudaFuncSetAttribute");
  kernel<<<blocks, kThreads, bytes, stream>>>(a);
}

}  // namespace

void residual_norm_backward(const NormBackward& a, Element element, cudaStream_t stream) {
  if (a.rows == 0 || a.width == 0) return;
  const bool rows = in_chunks(a.width, {a.d_normed, a.d_sum, a.sum, a.weight, a.d}) && fits_a_block(a.width);
  const int most = num_processors() * (rows && element == Element::f32 ? 1 : kBlocksPerProcessor);
  int blocks = static_cast<int>(std::min<int64_t>(most, a.rows));
  dispatch(element, rows, [&](auto type, auto width) {
    using T = decltype(type);
    if constexpr (decltype(width)::value == kChunk) {
      with_layout<kMostChunks>(a.width, [&](auto chunks, auto warps) {
        constexpr int kChunks = decltype(chunks)::value, kRowWarps = decltype(warps)::value;
        blocks = static_cast<int>(std::min<int64_t>(most, ceil_divide(a.rows, kWarps / kRowWarps)));
        const auto launch = [&](auto centred, auto sums) {
          launch_rows<T, kChunks, kRowWarps, decltype(centred)::value, decltype(sums)::value>(a, blocks, stream);
        };
        const std::true_type yes;
        const std::false_type no;
        if (a.mean != nullptr) {
          launch(yes, yes);  // where a norm is centred, biases are the rule
        } else {
          a.column_sums != nullptr ? launch(no, yes) : launch(no, no);
        }
      });
    } else {
      norm_backward_any<T><<<blocks, kThreads, 0, stream>>>(a);
    }
  });
  check_launch("residual_norm_backward");
  const dim3 grid(static_cast<unsigned>(ceil_divide(a.width, 32)), kNumShares);
  add_shares<<<grid, dim3(32, 32), 0, stream>>>(a, blocks);
  check_launch("residual_norm_backward (sums)");
}

size_t residual_norm_backward_workspace(int64_t width) {
  return static_cast<size_t>(num_processors()) * kBlocksPerProcessor * kNumShares * static_cast<size_t>(width) * sizeof(float);
}

}  // namespace lacuna::cuda
