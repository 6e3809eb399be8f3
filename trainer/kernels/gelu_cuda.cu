#include "trainer/kernels/column_sum.cuh"
#include "trainer/kernels/column_sum_cuda.h"
#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/gelu_cuda.h"

namespace lacuna::cuda {
namespace {

template <typename T, int kWidth>
__global__ __launch_bounds__(kLanes* kTileRows) void gelu_kernel(const T* in, int64_t in_stride, T* out, int64_t out_stride,
                                                                 int64_t rows, int64_t columns, int64_t rows_per_block) {
  using Packed = Pack<T, kWidth>;
  const int64_t column = (static_cast<int64_t>(blockIdx.x) * kLanes + threadIdx.x) * kWidth;
  if (column >= columns) return;
  const int64_t first = blockIdx.y * rows_per_block;
  const int64_t last = first + rows_per_block < rows ? first + rows_per_block : rows;
  for (int64_t row = first + threadIdx.y; row < last; row += kTileRows * kUnroll) {
    Packed pack[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int64_t at = row + u * kTileRows;
      if (at < last) pack[u] = *reinterpret_cast<const Packed*>(in + at * in_stride + column);
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int64_t at = row + u * kTileRows;
      if (at >= last) continue;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const float x = to_float(pack[u].value[i]);
        pack[u].value[i] = from_float<T>(0.5f * x * (1.0f + gelu_tanh_part(x)));
      }
      *reinterpret_cast<Packed*>(out + at * out_stride + column) = pack[u];
    }
  }
}

template <typename T, int kWidth>
void launch(int64_t rows, int64_t columns, const void* in, int64_t in_stride, void* out, int64_t out_stride,
            cudaStream_t stream) {
  const auto tiling = tile(rows, columns, kWidth);
  const dim3 grid(static_cast<unsigned>(tiling.column_blocks), static_cast<unsigned>(tiling.row_blocks));
  gelu_kernel<T, kWidth><<<grid, dim3(kLanes, kTileRows), 0, stream>>>(static_cast<const T*>(in), in_stride, static_cast<T*>(out),
                                                                       out_stride, rows, columns, tiling.rows_per_block);
  check_launch("gelu_kernel");
}

template <typename T, int kWidth>
int64_t launch_backward(int64_t rows, int64_t columns, const void* in, int64_t in_stride, void* gradient, int64_t gradient_stride,
                        float* partial, cudaStream_t stream) {
  const auto tiling = tile(rows, columns, kWidth);
  const dim3 grid(static_cast<unsigned>(tiling.column_blocks), static_cast<unsigned>(tiling.row_blocks));
  column_sums_kernel<T, kWidth, true><<<grid, dim3(kLanes, kTileRows), 0, stream>>>(static_cast<T*>(gradient), gradient_stride,
                                                                                    static_cast<const T*>(in), in_stride, rows,
                                                                                    columns, tiling.rows_per_block, partial);
  check_launch("column_sums_kernel (GELU backward)");
  return tiling.row_blocks;
}

}  // namespace

void gelu(Element element, int64_t rows, int64_t columns, const void* in, int64_t in_stride, void* out, int64_t out_stride,
          cudaStream_t stream) {
  if (rows == 0 || columns == 0) return;
  const bool packs = wide(columns, size_of(element), {{in, in_stride}, {out, out_stride}});
  if (element == Element::bf16) {
    packs ? launch<__nv_bfloat16, 8>(rows, columns, in, in_stride, out, out_stride, stream)
          : launch<__nv_bfloat16, 1>(rows, columns, in, in_stride, out, out_stride, stream);
  } else {
    packs ? launch<float, 4>(rows, columns, in, in_stride, out, out_stride, stream)
          : launch<float, 1>(rows, columns, in, in_stride, out, out_stride, stream);
  }
}

void gelu_backward(Element element, int64_t rows, int64_t columns, const void* in, int64_t in_stride, void* gradient,
                   int64_t gradient_stride, float* sums, void* workspace, cudaStream_t stream) {
  if (rows == 0 || columns == 0) return;
  auto* partial = sums == nullptr ? nullptr : static_cast<float*>(workspace);
  const bool packs = wide(columns, size_of(element), {{in, in_stride}, {gradient, gradient_stride}});
  int64_t runs = 0;
  if (element == Element::bf16) {
    runs = packs ? launch_backward<__nv_bfloat16, 8>(rows, columns, in, in_stride, gradient, gradient_stride, partial, stream)
                 : launch_backward<__nv_bfloat16, 1>(rows, columns, in, in_stride, gradient, gradient_stride, partial, stream);
  } else {
    runs = packs ? launch_backward<float, 4>(rows, columns, in, in_stride, gradient, gradient_stride, partial, stream)
                 : launch_backward<float, 1>(rows, columns, in, in_stride, gradient, gradient_stride, partial, stream);
  }
  if (sums != nullptr) add_partial_sums(runs, columns, partial, sums, stream);
}

}  // namespace lacuna::cuda
