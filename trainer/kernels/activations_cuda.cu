#include "trainer/kernels/activations_cuda.h"
#include "trainer/kernels/chunk.cuh"
#include "trainer/kernels/cuda_check.h"

namespace lacuna::cuda {
namespace {

constexpr int kThreads = 256;

// The hardware's exponential and division, right to a few units in the last place of fp32. Where exp overflows the result is 0.
__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }

// value and slope of the function at x. 0.5 (1 + tanh(u)) is sigmoid(2 u), which stays exact where tanh is next to -1.
template <Nonlinearity kFunction>
__device__ __forceinline__ void evaluate(float x, float& value, float& slope) {
  if constexpr (kFunction == Nonlinearity::silu) {
    const float s = sigmoid(x);
    value = x * s;
    slope = s * (1.0f + x * (1.0f - s));
  } else if constexpr (kFunction == Nonlinearity::gelu_tanh) {
    constexpr float kScale = 1.5957691216057308f, kCubic = 0.044715f;  // 2 sqrt(2 / pi)
    const float square = x * x;
    const float s = sigmoid(kScale * x * (1.0f + kCubic * square));
    value = x * s;
    slope = s + x * s * (1.0f - s) * kScale * (1.0f + 3.0f * kCubic * square);
  } else {
    const float share = 0.5f * (1.0f + erff(x * 0.70710678118654752f));
    value = x * share;
    slope = share + x * 0.39894228040143268f * __expf(-0.5f * x * x);
  }
}

template <class T, int kWidth, Nonlinearity kFunction>
__global__ __launch_bounds__(kThreads) void activation_flat(const T* x, T* y, int64_t n) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth;
  if (i >= n) return;
  float values[kWidth], slope;
  unpack<T, kWidth>(load_once<kWidth>(x + i), values);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) evaluate<kFunction>(values[j], values[j], slope);
  store_floats<kWidth>(y + i, values);
}

template <class T, int kWidth, Nonlinearity kFunction>
__global__ __launch_bounds__(kThreads) void activation_backward_flat(const T* dy, const T* x, T* dx, T* y, int64_t n) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth;
  if (i >= n) return;
  const auto upstream = load_once<kWidth>(dy + i), input = load_once<kWidth>(x + i);
  float d[kWidth], values[kWidth];
  unpack<T, kWidth>(upstream, d);
  unpack<T, kWidth>(input, values);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) {
    float slope;
    evaluate<kFunction>(values[j], values[j], slope);
    d[j] *= slope;
  }
  store_floats<kWidth>(dx + i, d);
  if (y != nullptr) store_floats<kWidth>(y + i, values);
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

template <class Launch>
void with_function(Nonlinearity f, const Launch& launch) {
  switch (f) {
    case Nonlinearity::gelu:
      return launch(std::integral_constant<Nonlinearity, Nonlinearity::gelu>{});
    case Nonlinearity::gelu_tanh:
      return launch(std::integral_constant<Nonlinearity, Nonlinearity::gelu_tanh>{});
    case Nonlinearity::silu:
      return launch(std::integral_constant<Nonlinearity, Nonlinearity::silu>{});
  }
}

unsigned blocks_for(int64_t threads) { return static_cast<unsigned>(ceil_divide(threads, kThreads)); }

}  // namespace

void activation(Nonlinearity f, const void* x, void* y, int64_t n, Element element, cudaStream_t stream) {
  if (n == 0) return;
  dispatch(element, in_chunks(n, {x, y}), [&](auto type, auto width) {
    using T = decltype(type);
    constexpr int kWidth = decltype(width)::value;
    with_function(f, [&](auto function) {
      activation_flat<T, kWidth, decltype(function)::value>
          <<<blocks_for(n / kWidth), kThreads, 0, stream>>>(static_cast<const T*>(x), static_cast<T*>(y), n);
    });
  });
  check_launch("activation");
}

void activation_backward(Nonlinearity f, const void* dy, const void* x, void* dx, void* y, int64_t n, Element element,
                         cudaStream_t stream) {
  if (n == 0) return;
  dispatch(element, in_chunks(n, {dy, x, dx, y}), [&](auto type, auto width) {
    using T = decltype(type);
    constexpr int kWidth = decltype(width)::value;
    with_function(f, [&](auto function) {
      activation_backward_flat<T, kWidth, decltype(function)::value><<<blocks_for(n / kWidth), kThreads, 0, stream>>>(
          static_cast<const T*>(dy), static_cast<const T*>(x), static_cast<T*>(dx), static_cast<T*>(y), n);
    });
  });
  check_launch("activation_backward");
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
