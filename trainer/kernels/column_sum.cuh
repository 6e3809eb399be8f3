// The tiling that passes over the columns of a matrix share: a block of 32 x 8 threads owns 32 chunks of columns and a run of
// rows, a thread one chunk (chunk.cuh) of every eighth row. Column sums are reduced in the block, written as one partial row per
// run, and the partial rows are added by a second kernel, all in a fixed order: the same bits every time.
#pragma once
#include <algorithm>
#include <utility>

#include "trainer/kernels/chunk.cuh"

namespace lacuna::cuda {

constexpr int kLanes = 32, kTileRows = 8, kUnroll = 4;
constexpr int64_t kBlocks = 8 * 132;  // enough for every multiprocessor of an H200 to hold all that it can

// How a matrix is cut: `row_blocks` runs of `rows_per_block` rows, and columns / (kLanes * width) blocks beside each other.
struct Tiling {
  int64_t column_blocks, row_blocks, rows_per_block;
  dim3 grid() const { return dim3(static_cast<unsigned>(column_blocks), static_cast<unsigned>(row_blocks)); }
};
inline Tiling tile(int64_t rows, int64_t columns, int width) {
  const int64_t column_blocks = ceil_divide(columns, kLanes * width);
  const int64_t most = ceil_divide(rows, kTileRows * kUnroll);
  const int64_t wanted = std::clamp<int64_t>(kBlocks / column_blocks, 1, std::max<int64_t>(most, 1));
  const int64_t rows_per_block = ceil_divide(rows, wanted);
  return {column_blocks, ceil_divide(rows, rows_per_block), rows_per_block};
}

// Whether the rows of all matrices, a stride of elements apart, may go in chunks.
inline bool rows_in_chunks(int64_t columns, std::initializer_list<std::pair<const void*, int64_t>> matrices) {
  bool fits = true;
  for (const auto& [data, stride] : matrices) fits = fits && stride % kChunk == 0 && in_chunks(columns, {data});
  return fits;
}

// Of this thread's rows takes kUnroll at a time: load(u, row) for each of them, so that they are in flight together, then
// visit(u, row). From the last run of rows to the first: the last rows are those that the product before this left in the cache, and the
// first rows, which this then leaves there, are those that the product behind it begins with.
template <class Load, class Visit>
__device__ __forceinline__ void for_rows(int64_t rows, int64_t rows_per_block, const Load& load, const Visit& visit) {
  const int64_t first = (gridDim.y - 1 - blockIdx.y) * rows_per_block;
  const int64_t last = first + rows_per_block < rows ? first + rows_per_block : rows;
  for (int64_t row = first + threadIdx.y; row < last; row += kTileRows * kUnroll) {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (row + u * kTileRows < last) load(u, row + u * kTileRows);
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (row + u * kTileRows < last) visit(u, row + u * kTileRows);
    }
  }
}

// partial[run][column] = the sum of what the run's threads hold of the column. All threads of the block take part.
template <int kWidth>
__device__ __forceinline__ void write_partial_sums(const float (&sum)[kWidth], int64_t column, int64_t columns, float* partial) {
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
