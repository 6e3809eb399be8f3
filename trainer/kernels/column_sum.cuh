// The tiling that passes over the columns of a matrix share: a block of 32 x 8 threads owns 32 packs of columns and a run of
// rows, a thread one pack (16 bytes where the rows allow it) of every eighth row. Column sums are reduced in the block, written
// as one partial row per run, and the partial rows are added by a second kernel, all in a fixed order: the same bits every time.
#pragma once
#include <cuda_bf16.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <utility>

namespace lacuna::cuda {

constexpr int kLanes = 32, kTileRows = 8, kUnroll = 4;
constexpr int64_t kBlocks = 8 * 132;  // enough for every multiprocessor of an H200 to hold all that it can

template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T value[kWidth];
};

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
template <typename T>
__device__ __forceinline__ T from_float(float value) {
  if constexpr (sizeof(T) == 2) {
    return __float2bfloat16_rn(value);
  } else {
    return value;
  }
}

// How a matrix is cut: `blocks` runs of `rows_per_block` rows, and columns / (kLanes * width) blocks beside each other.
struct Tiling {
  int64_t column_blocks, row_blocks, rows_per_block;
};
inline Tiling tile(int64_t rows, int64_t columns, int width) {
  const int64_t column_blocks = (columns + kLanes * width - 1) / (kLanes * width);
  const int64_t most = (rows + kTileRows * kUnroll - 1) / (kTileRows * kUnroll);
  const int64_t wanted = std::clamp<int64_t>(kBlocks / column_blocks, 1, std::max<int64_t>(most, 1));
  const int64_t rows_per_block = (rows + wanted - 1) / wanted;
  return {column_blocks, (rows + rows_per_block - 1) / rows_per_block, rows_per_block};
}

// Whether the rows of all of `pointers`, `stride` elements apart, can be read 16 bytes at a time.
inline bool wide(int64_t columns, int64_t element_size, std::initializer_list<std::pair<const void*, int64_t>> matrices) {
  const int64_t width = 16 / element_size;
  bool fits = columns % width == 0;
  for (const auto& [data, stride] : matrices) fits &= reinterpret_cast<uintptr_t>(data) % 16 == 0 && stride % width == 0;
  return fits;
}

// The derivative of GELU in its tanh form (Hendrycks and Gimpel 2016). tanh(u) = 1 - 2 / (1 + exp(2u)) is exact to 2e-7 and
// saturates rightly where exp overflows; a quotient that is exact to the last bit would take longer than the memory does.
constexpr float kGeluScale = 0.7978845608028654f, kGeluCubic = 0.044715f;
__device__ __forceinline__ float gelu_tanh_part(float x) {
  return 1.0f - __fdividef(2.0f, 1.0f + __expf(2.0f * kGeluScale * x * (1.0f + kGeluCubic * x * x)));
}
__device__ __forceinline__ float gelu_derivative(float x) {
  const float t = gelu_tanh_part(x);
  return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * kGeluScale * (1.0f + 3.0f * kGeluCubic * x * x);
}

// partial[run][column] = the sum over the run's rows of values[row][column]. With kGelu, values are first multiplied by GELU's
// derivative at pre[row][column], in place. `partial` may be null: no sums.
template <typename T, int kWidth, bool kGelu>
__global__ __launch_bounds__(kLanes* kTileRows) void column_sums_kernel(T* values, int64_t stride, const T* pre,
                                                                        int64_t pre_stride, int64_t rows, int64_t columns,
                                                                        int64_t rows_per_block, float* partial) {
  using Packed = Pack<T, kWidth>;
  const int64_t column = (static_cast<int64_t>(blockIdx.x) * kLanes + threadIdx.x) * kWidth;
  // From the last run of rows to the first: the last rows are those that the product before this left in the cache.
  const int64_t first = (gridDim.y - 1 - blockIdx.y) * rows_per_block;
  const int64_t last = first + rows_per_block < rows ? first + rows_per_block : rows;
  float sum[kWidth] = {};
  if (column < columns) {
    for (int64_t row = first + threadIdx.y; row < last; row += kTileRows * kUnroll) {
      Packed read[kUnroll], before[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {  // all loads first, so that they are in flight together
        const int64_t at = row + u * kTileRows;
        if (at >= last) continue;
        read[u] = *reinterpret_cast<const Packed*>(values + at * stride + column);
        if constexpr (kGelu) before[u] = *reinterpret_cast<const Packed*>(pre + at * pre_stride + column);
      }
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        const int64_t at = row + u * kTileRows;
        if (at >= last) continue;
#pragma unroll
        for (int i = 0; i < kWidth; ++i) {
          float value = to_float(read[u].value[i]);
          if constexpr (kGelu) {
            value *= gelu_derivative(to_float(before[u].value[i]));
            read[u].value[i] = from_float<T>(value);
          }
          sum[i] += value;
        }
        if constexpr (kGelu) *reinterpret_cast<Packed*>(values + at * stride + column) = read[u];
      }
    }
  }
  if (partial == nullptr) return;  // the same for all threads
  __shared__ float tile_sums[kTileRows][kWidth][kLanes];
#pragma unroll
  for (int i = 0; i < kWidth; ++i) tile_sums[threadIdx.y][i][threadIdx.x] = sum[i];
  __syncthreads();
  for (int i = threadIdx.y; i < kWidth; i += kTileRows) {
    if (column + i >= columns) continue;
    float total = 0;
#pragma unroll
    for (int row = 0; row < kTileRows; ++row) total += tile_sums[row][i][threadIdx.x];
    partial[blockIdx.y * columns + column + i] = total;
  }
}

}  // namespace lacuna::cuda
