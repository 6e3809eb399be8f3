#include "trainer/kernels/column_sum.cuh"
#include "trainer/kernels/column_sum_cuda.h"
#include "trainer/kernels/cuda_check.h"

namespace lacuna::cuda {
namespace {

template <class T, int kWidth>
__global__ __launch_bounds__(kLanes* kTileRows) void column_sums_kernel(const T* values, int64_t stride, int64_t rows,
                                                                        int64_t columns, int64_t rows_per_block, float* partial) {
  const int64_t column = (static_cast<int64_t>(blockIdx.x) * kLanes + threadIdx.x) * kWidth;
  float sum[kWidth] = {};
  if (column < columns) {
    Pack<T, kWidth> read[kUnroll];
    for_rows(
        rows, rows_per_block, [&](int u, int64_t row) { read[u] = load<kWidth>(values + row * stride + column); },
        [&](int u, int64_t) {
          float value[kWidth];
          unpack<T, kWidth>(read[u], value);
#pragma unroll
          for (int i = 0; i < kWidth; ++i) sum[i] += value[i];
        });
  }
  write_partial_sums(sum, column, columns, partial);
}

__global__ __launch_bounds__(kLanes* kTileRows) void add_partial_sums_kernel(int64_t num_partial, int64_t columns,
                                                                             const float* partial, float* sums) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kLanes + threadIdx.x;
  float sum = 0;
  if (column < columns) {
#pragma unroll 4
    for (int64_t p = threadIdx.y; p < num_partial; p += kTileRows) sum += partial[p * columns + column];
  }
  __shared__ float tile_sums[kTileRows][kLanes];
  tile_sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  float total = 0;
#pragma unroll
  for (int row = 0; row < kTileRows; ++row) total += tile_sums[row][threadIdx.x];
  sums[column] += total;
}

}  // namespace

int64_t column_sum_workspace(int64_t rows, int64_t columns) {
  if (rows == 0 || columns == 0) return 0;
  // The widest chunks make the fewest blocks beside each other, and so the most runs of rows.
  return tile(rows, columns, kChunk).row_blocks * columns * static_cast<int64_t>(sizeof(float));
}

void column_sum(Element element, int64_t rows, int64_t columns, const void* values, int64_t stride, float* sums, void* workspace,
                cudaStream_t stream) {
  if (rows == 0 || columns == 0) return;
  auto* partial = static_cast<float*>(workspace);
  int64_t runs = 0;
  dispatch(element, rows_in_chunks(columns, {{values, stride}}), [&](auto type, auto width) {
    using T = decltype(type);
    constexpr int kWidth = decltype(width)::value;
    const auto tiling = tile(rows, columns, kWidth);
    column_sums_kernel<T, kWidth><<<tiling.grid(), dim3(kLanes, kTileRows), 0, stream>>>(
        static_cast<const T*>(values), stride, rows, columns, tiling.rows_per_block, partial);
    runs = tiling.row_blocks;
  });
  check_launch("column_sums_kernel");
  add_partial_sums(runs, columns, partial, sums, stream);
}

void add_partial_sums(int64_t num_partial, int64_t columns, const float* partial, float* sums, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(ceil_divide(columns, kLanes));
  add_partial_sums_kernel<<<blocks, dim3(kLanes, kTileRows), 0, stream>>>(num_partial, columns, partial, sums);
  check_launch("add_partial_sums_kernel");
}

}  // namespace lacuna::cuda
