#include "trainer/kernels/activations_cuda.h"
#include "trainer/kernels/column_sum.cuh"
#include "trainer/kernels/column_sum_cuda.h"
#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/nonlinearity.cuh"

namespace lacuna::cuda {
namespace {

constexpr int kThreads = 256;

template <class T, int kWidth, Nonlinearity kFunction>
__global__ __launch_bounds__(kLanes* kTileRows) void activation_kernel(const T* x, int64_t x_stride, T* y, int64_t y_stride,
                                                                       int64_t rows, int64_t columns, int64_t rows_per_block) {
  const int64_t column = (static_cast<int64_t>(blockIdx.x) * kLanes + threadIdx.x) * kWidth;
  if (column >= columns) return;
  Pack<T, kWidth> input[kUnroll];
  for_rows(
      rows, rows_per_block, [&](int u, int64_t row) { input[u] = load_once<kWidth>(x + row * x_stride + column); },
      [&](int u, int64_t row) {
        float values[kWidth], slope;
        unpack<T, kWidth>(input[u], values);
#pragma unroll
        for (int i = 0; i < kWidth; ++i) evaluate<kFunction>(values[i], values[i], slope);
        store_floats<kWidth>(y + row * y_stride + column, values);
      });
}

// `partial` may be null: no sums.
template <class T, int kWidth, Nonlinearity kFunction>
__global__ __launch_bounds__(kLanes* kTileRows) void activation_backward_kernel(const T* x, int64_t x_stride, T* gradient,
                                                                                int64_t gradient_stride, int64_t rows,
                                                                                int64_t columns, int64_t rows_per_block,
                                                                                float* partial) {
  const int64_t column = (static_cast<int64_t>(blockIdx.x) * kLanes + threadIdx.x) * kWidth;
  float sum[kWidth] = {};
  if (column < columns) {
    Pack<T, kWidth> input[kUnroll], above[kUnroll];
    for_rows(
        rows, rows_per_block,
        [&](int u, int64_t row) {
          above[u] = load<kWidth>(gradient + row * gradient_stride + column);
          input[u] = load_once<kWidth>(x + row * x_stride + column);
        },
        [&](int u, int64_t row) {
          float d[kWidth], values[kWidth];
          unpack<T, kWidth>(above[u], d);
          unpack<T, kWidth>(input[u], values);
#pragma unroll
          for (int i = 0; i < kWidth; ++i) {
            float slope;
            evaluate<kFunction>(values[i], values[i], slope);
            d[i] *= slope;
            sum[i] += d[i];
          }
          store_floats<kWidth>(gradient + row * gradient_stride + column, d);
        });
  }
  if (partial != nullptr) write_partial_sums(sum, column, columns, partial);  // the same for all threads
}

template <class T, int kWidth, Nonlinearity kFunction, class Index>
__global__ __launch_bounds__(kThreads) void gated_flat(const T* packed_rows, T* y, int64_t size, Index chunks_of_row,
                                                       Index total) {
  const Index i = static_cast<Index>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= total) return;
  const int64_t row = i / chunks_of_row, column = static_cast<int64_t>(i % chunks_of_row) * kWidth;
  const T* from = packed_rows + row * 2 * size + column;
  const auto gate_bits = load_once<kWidth>(from), up_bits = load_once<kWidth>(from + size);
  float gate[kWidth], up[kWidth], slope;
  unpack<T, kWidth>(gate_bits, gate);
  unpack<T, kWidth>(up_bits, up);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) {
    evaluate<kFunction>(gate[j], gate[j], slope);
    gate[j] *= up[j];
  }
  store_floats<kWidth>(y + row * size + column, gate);
}

template <class T, int kWidth, Nonlinearity kFunction, class Index>
__global__ __launch_bounds__(kThreads) void gated_backward_flat(const T* dy, const T* packed_rows, T* d_packed, T* y,
                                                                int64_t size, Index chunks_of_row, Index total) {
  const Index i = static_cast<Index>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= total) return;
  const int64_t row = i / chunks_of_row, column = static_cast<int64_t>(i % chunks_of_row) * kWidth;
  const int64_t gate_at = row * 2 * size + column, up_at = gate_at + size, y_at = row * size + column;
  const auto gate_bits = load_once<kWidth>(packed_rows + gate_at), up_bits = load_once<kWidth>(packed_rows + up_at);
  const auto d_bits = load_once<kWidth>(dy + y_at);
  float gate[kWidth], up[kWidth], d[kWidth];
  unpack<T, kWidth>(gate_bits, gate);
  unpack<T, kWidth>(up_bits, up);
  unpack<T, kWidth>(d_bits, d);
  float output[kWidth];
#pragma unroll
  for (int j = 0; j < kWidth; ++j) {
    float value, slope;
    evaluate<kFunction>(gate[j], value, slope);
    output[j] = value * up[j];
    gate[j] = d[j] * up[j] * slope;
    up[j] = d[j] * value;
  }
  store_floats<kWidth>(d_packed + gate_at, gate);
  store_floats<kWidth>(d_packed + up_at, up);
  if (y != nullptr) store_floats<kWidth>(y + y_at, output);
}

unsigned blocks_for(int64_t threads) { return static_cast<unsigned>(ceil_divide(threads, kThreads)); }

}  // namespace

void activation(Nonlinearity f, Element element, int64_t rows, int64_t columns, const void* x, int64_t x_stride, void* y,
                int64_t y_stride, cudaStream_t stream) {
  if (rows == 0 || columns == 0) return;
  dispatch(element, rows_in_chunks(columns, {{x, x_stride}, {y, y_stride}}), [&](auto type, auto width) {
    using T = decltype(type);
    constexpr int kWidth = decltype(width)::value;
    const auto tiling = tile(rows, columns, kWidth);
    with_function(f, [&](auto function) {
      activation_kernel<T, kWidth, decltype(function)::value><<<tiling.grid(), dim3(kLanes, kTileRows), 0, stream>>>(
          static_cast<const T*>(x), x_stride, static_cast<T*>(y), y_stride, rows, columns, tiling.rows_per_block);
    });
  });
  check_launch("activation");
}

void activation_backward(Nonlinearity f, Element element, int64_t rows, int64_t columns, const void* x, int64_t x_stride,
                         void* gradient, int64_t gradient_stride, float* sums, void* workspace, cudaStream_t stream) {
  if (rows == 0 || columns == 0) return;
  auto* partial = sums == nullptr ? nullptr : static_cast<float*>(workspace);
  int64_t runs = 0;
  dispatch(element, rows_in_chunks(columns, {{x, x_stride}, {gradient, gradient_stride}}), [&](auto type, auto width) {
    using T = decltype(type);
    constexpr int kWidth = decltype(width)::value;
    const auto tiling = tile(rows, columns, kWidth);
    with_function(f, [&](auto function) {
      activation_backward_kernel<T, kWidth, decltype(function)::value><<<tiling.grid(), dim3(kLanes, kTileRows), 0, stream>>>(
          static_cast<const T*>(x), x_stride, static_cast<T*>(gradient), gradient_stride, rows, columns, tiling.rows_per_block,
          partial);
    });
    runs = tiling.row_blocks;
  });
  check_launch("activation_backward");
  if (sums != nullptr) add_partial_sums(runs, columns, partial, sums, stream);
}

void gated_activation(Nonlinearity f, const void* packed, void* y, int64_t rows, int64_t size, Element element,
                      cudaStream_t stream) {
  if (rows == 0 || size == 0) return;
  dispatch(element, in_chunks(size, {packed, y}), [&](auto type, auto width) {
    using T = decltype(type);
    using Index = typename decltype(width)::Index;
    constexpr int kWidth = decltype(width)::value;
    const int64_t chunks = size / kWidth, total = rows * chunks;
    with_function(f, [&](auto function) {
      gated_flat<T, kWidth, decltype(function)::value><<<blocks_for(total), kThreads, 0, stream>>>(
          static_cast<const T*>(packed), static_cast<T*>(y), size, static_cast<Index>(chunks), static_cast<Index>(total));
    });
  });
  check_launch("gated_activation");
}

void gated_activation_backward(Nonlinearity f, const void* dy, const void* packed, void* d_packed, void* y, int64_t rows,
                               int64_t size, Element element, cudaStream_t stream) {
  if (rows == 0 || size == 0) return;
  dispatch(element, in_chunks(size, {dy, packed, d_packed, y}), [&](auto type, auto width) {
    using T = decltype(type);
    using Index = typename decltype(width)::Index;
    constexpr int kWidth = decltype(width)::value;
    const int64_t chunks = size / kWidth, total = rows * chunks;
    with_function(f, [&](auto function) {
      gated_backward_flat<T, kWidth, decltype(function)::value><<<blocks_for(total), kThreads, 0, stream>>>(
          static_cast<const T*>(dy), static_cast<const T*>(packed), static_cast<T*>(d_packed), static_cast<T*>(y), size,
          static_cast<Index>(chunks), static_cast<Index>(total));
    });
  });
  check_launch("gated_activation_backward");
}

}  // namespace lacuna::cuda
