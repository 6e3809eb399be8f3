#include "trainer/kernels/column_sum.cuh"
#include "trainer/kernels/column_sum_cuda.h"
#include "trainer/kernels/cuda_check.h"

namespace lacuna::cuda {
namespace {

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

template <typename T, int kWidth>
int64_t launch(int64_t rows, int64_t columns, const void* values, int64_t stride, float* partial, cudaStream_t stream) {
  const auto tiling = tile(rows, columns, kWidth);
  const dim3 grid(static_cast<unsigned>(tiling.column_blocks), static_cast<unsigned>(tiling.row_blocks));
  // Without GELU the kernel only reads.
  auto* data = const_cast<T*>(static_cast<const T*>(values));
  column_sums_kernel<T, kWidth, false>
      <<<grid, dim3(kLanes, kTileRows), 0, stream>>>(data, stride, nullptr, 0, rows, columns, tiling.rows_per_block, partial);
  check_launch("column_sums_kernel");
  return tiling.row_blocks;
}

}  // namespace

int64_t column_sum_workspace(int64_t rows, int64_t columns) {
  if (rows == 0 || columns == 0) return 0;
  // The widest packs make the fewest blocks beside each other, and so the most runs of rows.
  return tile(rows, columns, 8).row_blocks * columns * static_cast<int64_t>(sizeof(float));
}

void column_sum(Element element, int64_t rows, int64_t columns, const void* values, int64_t stride, float* sums, void* workspace,
                cudaStream_t stream) {
  if (rows == 0 || columns == 0) return;
  auto* partial = static_cast<float*>(workspace);
  const bool packs = wide(columns, size_of(element), {{values, stride}});
  int64_t runs = 0;
  if (element == Element::bf16) {
    runs = packs ? launch<__nv_bfloat16, 8>(rows, columns, values, stride, partial, stream)
                 : launch<__nv_bfloat16, 1>(rows, columns, values, stride, partial, stream);
  } else {
    runs = packs ? launch<float, 4>(rows, columns, values, stride, partial, stream)
                 : launch<float, 1>(rows, columns, values, stride, partial, stream);
  }
  add_partial_sums(runs, columns, partial, sums, stream);
}

void add_partial_sums(int64_t num_partial, int64_t columns, const float* partial, float* sums, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((columns + kLanes - 1) / kLanes);
  add_partial_sums_kernel<<<blocks, dim3(kLanes, kTileRows), 0, stream>>>(num_partial, columns, partial, sums);
  check_launch("add_partial_sums_kernel");
}

}  // namespace lacuna::cuda
