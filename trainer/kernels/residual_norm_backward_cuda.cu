// Blocks stay on the device and walk over the rows, so that each adds up its share of the parameters' gradients; a second kernel
// adds the shares, always in the same order.
#include <cuda_pipeline.h>

#include <algorithm>

#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/norm_rows.cuh"
#include "trainer/kernels/residual_norm_cuda.h"

namespace lacuna::cuda {
namespace {

using namespace norm_rows;

constexpr int kBlocksPerProcessor = 2;  // of the backward, which stays on the device and walks over the rows

// The warps of a row walk over rows, and copy their next row into shared memory while they work on the present one; a lane copies
// what it reads itself, so the copies need no barrier. The weights' gradients of the lane's columns grow in its registers.
template <class T, int kChunks, int kRowWarps, bool kCentred>
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
    if (row < a.rows) {
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
  const float share = 1.0f / layout.width;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * Layout::kRows, advance = stride * a.width;
  int64_t row = static_cast<int64_t>(blockIdx.x) * Layout::kRows + layout.group, offset = row * a.width + layout.column;
  fetch(row, offset, 0);
  float next_mean = kCentred && row < a.rows ? a.mean[row] : 0.0f, next_rstd = row < a.rows ? a.rstd[row] : 0.0f;
  for (int stage = 0; row < a.rows; row += stride, offset += advance, stage ^= 1) {
    const float mean = next_mean, rstd = next_rstd;
    fetch(row + stride, offset + advance, stage ^ 1);
    if (row + stride < a.rows) {
      next_rstd = a.rstd[row + stride];
      if constexpr (kCentred) next_mean = a.mean[row + stride];
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
      for (int j = 0; j < kChunk; ++j) d[j] += rstd * (dy[j] * weight[j]) + (slope * (x[j] - mean) + shift);
      store_floats<kChunk>(static_cast<T*>(a.d) + offset + k * Layout::kStep, d);
    }
  }

  // The groups of rows of the block add up one after the other, in the memory of the copies; then the block writes its share.
  __pipeline_wait_prior(0);
  auto* weight_share = reinterpret_cast<float*>(shared);
  float* bias_share = weight_share + layout.width;
  for (int turn = 0; turn < Layout::kRows; ++turn) {
    __syncthreads();
    if (turn != layout.group) continue;
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      if (!layout.has(k)) continue;
#pragma unroll
      for (int j = 0; j < kChunk; ++j) {
        const int c = layout.column + k * Layout::kStep + j;
        weight_share[c] = weight_gradient[k][j] + (turn == 0 ? 0.0f : weight_share[c]);
        if constexpr (kCentred) bias_share[c] = bias_gradient[k][j] + (turn == 0 ? 0.0f : bias_share[c]);
      }
    }
  }
  __syncthreads();
  float* weight_out = a.workspace + static_cast<int64_t>(blockIdx.x) * layout.width;
  float* bias_out = weight_out + static_cast<int64_t>(gridDim.x) * layout.width;
  for (int c = threadIdx.x; c < layout.width; c += kThreads) {
    weight_out[c] = weight_share[c];
    if constexpr (kCentred) bias_out[c] = bias_share[c];
  }
}

template <class T>
__global__ __launch_bounds__(kThreads) void norm_backward_any(NormBackward a) {
  __shared__ float slots[2][2][kWarps];
  float* weight_share = a.workspace + static_cast<int64_t>(blockIdx.x) * a.width;
  float* bias_share = weight_share + static_cast<int64_t>(gridDim.x) * a.width;
  const bool centred = a.mean != nullptr;
  for (int64_t i = threadIdx.x; i < a.width; i += kThreads) {
    weight_share[i] = 0;
    if (centred) bias_share[i] = 0;
  }
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
      static_cast<T*>(a.d)[row * a.width + i] = from_float<T>(d);
    }
  }
}

// Adds the blocks' shares to the gradients, always in the same order: 32 columns a block, 32 threads a column.
__global__ __launch_bounds__(1024) void add_shares(const float* shares, int num_shares, int64_t width, float* d_weight,
                                                   float* d_bias) {
  __shared__ float sums[32][33];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x;
  float* gradient = blockIdx.y == 0 ? d_weight : d_bias;
  const float* from = shares + static_cast<int64_t>(blockIdx.y) * num_shares * width;
  float sum = 0;
  if (column < width) {
#pragma unroll 4
    for (int i = threadIdx.y; i < num_shares; i += 32) sum += from[i * width + column];
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  const float total = warp_sum(sums[threadIdx.x][threadIdx.y]);  // warp y sums column y
  const int64_t target = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.y;
  if (threadIdx.x == 0 && target < width) gradient[target] += total;
}

int num_processors() {
  int device = 0, count = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
  return count;
}

template <class T, int kChunks, int kRowWarps, bool kCentred>
void launch_rows(const NormBackward& a, int blocks, cudaStream_t stream) {
  const auto kernel = norm_backward_rows<T, kChunks, kRowWarps, kCentred>;
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
      with_layout(a.width, [&](auto chunks, auto warps) {
        constexpr int kChunks = decltype(chunks)::value, kRowWarps = decltype(warps)::value;
        blocks = static_cast<int>(std::min<int64_t>(most, ceil_divide(a.rows, kWarps / kRowWarps)));
        if (a.mean != nullptr) {
          launch_rows<T, kChunks, kRowWarps, true>(a, blocks, stream);
        } else {
          launch_rows<T, kChunks, kRowWarps, false>(a, blocks, stream);
        }
      });
    } else {
      norm_backward_any<T><<<blocks, kThreads, 0, stream>>>(a);
    }
  });
  check_launch("residual_norm_backward");
  const dim3 grid(static_cast<unsigned>(ceil_divide(a.width, 32)), a.mean != nullptr && a.d_bias != nullptr ? 2 : 1);
  add_shares<<<grid, dim3(32, 32), 0, stream>>>(a.workspace, blocks, a.width, a.d_weight, a.d_bias);
  check_launch("residual_norm_backward (sums)");
}

size_t residual_norm_backward_workspace(int64_t width) {
  return static_cast<size_t>(num_processors()) * kBlocksPerProcessor * 2 * static_cast<size_t>(width) * sizeof(float);
}

}  // namespace lacuna::cuda
