#include <algorithm>

#include "trainer/kernels/chunk.cuh"
#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/silu_gate_cuda.h"

namespace lacuna::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 16 * 132;

struct Silu {
  float value, slope, bend;  // and its first and second derivative
  __device__ explicit Silu(float x) {
    const float s = 1 / (1 + expf(-x)), rest = s * (1 - s);
    value = x * s;
    slope = s + x * rest;
    bend = rest * (2 + x * (1 - 2 * s));
  }
};

template <int kWidth, class T>
__device__ __forceinline__ void load_part(const void* from, int64_t at, float (&values)[kWidth]) {
  load_floats<kWidth>(static_cast<const T*>(from) + at, values);
}
template <int kWidth, class T>
__device__ __forceinline__ void store_part(void* to, int64_t at, const float (&values)[kWidth]) {
  store_floats<kWidth>(static_cast<T*>(to) + at, values);
}

// visit(where a pack of y's elements lies, where its gate does); up lies a.width behind the gate.
template <int kWidth, class Visit>
__device__ __forceinline__ void each(const SiluGate& a, const Visit& visit) {
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < a.rows * a.width / kWidth;
       i += static_cast<int64_t>(gridDim.x) * kThreads) {
    const int64_t at = i * kWidth;
    visit(at, at + at / a.width * a.width);
  }
}

template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void forward_kernel(SiluGate a, void* y) {
  each<kWidth>(a, [&](int64_t at, int64_t gate_at) {
    float gate[kWidth], up[kWidth];
    load_part<kWidth, T>(a.packed, gate_at, gate);
    load_part<kWidth, T>(a.packed, gate_at + a.width, up);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) up[j] *= Silu(gate[j]).value;
    store_part<kWidth, T>(y, at, up);
  });
}

template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void backward_kernel(SiluGate a, const void* dy, void* d_packed) {
  each<kWidth>(a, [&](int64_t at, int64_t gate_at) {
    float gate[kWidth], up[kWidth], d[kWidth];
    load_part<kWidth, T>(a.packed, gate_at, gate);
    load_part<kWidth, T>(a.packed, gate_at + a.width, up);
    load_part<kWidth, T>(dy, at, d);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const Silu silu(gate[j]);
      gate[j] = d[j] * up[j] * silu.slope;
      up[j] = d[j] * silu.value;
    }
    store_part<kWidth, T>(d_packed, gate_at, gate);
    store_part<kWidth, T>(d_packed, gate_at + a.width, up);
  });
}

// Of sum(p d_gate + q d_up), with d_gate = dy up silu'(gate) and d_up = dy silu(gate).
template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void twice_kernel(SiluGate a, const void* dy, const void* of, void* d_dy, void* d_packed) {
  each<kWidth>(a, [&](int64_t at, int64_t gate_at) {
    float gate[kWidth], up[kWidth], d[kWidth], p[kWidth], q[kWidth];
    load_part<kWidth, T>(a.packed, gate_at, gate);
    load_part<kWidth, T>(a.packed, gate_at + a.width, up);
    load_part<kWidth, T>(dy, at, d);
    load_part<kWidth, T>(of, gate_at, p);
    load_part<kWidth, T>(of, gate_at + a.width, q);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const Silu silu(gate[j]);
      gate[j] = d[j] * (p[j] * up[j] * silu.bend + q[j] * silu.slope);
      const float by_dy = p[j] * up[j] * silu.slope + q[j] * silu.value;
      up[j] = p[j] * d[j] * silu.slope;
      d[j] = by_dy;
    }
    store_part<kWidth, T>(d_dy, at, d);
    store_part<kWidth, T>(d_packed, gate_at, gate);
    store_part<kWidth, T>(d_packed, gate_at + a.width, up);
  });
}

unsigned blocks_for(const SiluGate& a, int width) {
  return static_cast<unsigned>(std::min(ceil_divide(a.rows * a.width / width, kThreads), kMostBlocks));
}

}  // namespace

void silu_gate(const SiluGate& a, void* y, Element element, cudaStream_t stream) {
  if (a.rows * a.width == 0) return;
  dispatch(element, in_chunks(a.width, {a.packed, y}), [&](auto type, auto width) {
    constexpr int kWidth = decltype(width)::value;
    forward_kernel<decltype(type), kWidth><<<blocks_for(a, kWidth), kThreads, 0, stream>>>(a, y);
  });
  check_launch("silu_gate");
}

void silu_gate_backward(const SiluGate& a, const void* dy, void* d_packed, Element element, cudaStream_t stream) {
  if (a.rows * a.width == 0) return;
  dispatch(element, in_chunks(a.width, {a.packed, dy, d_packed}), [&](auto type, auto width) {
    constexpr int kWidth = decltype(width)::value;
    backward_kernel<decltype(type), kWidth><<<blocks_for(a, kWidth), kThreads, 0, stream>>>(a, dy, d_packed);
  });
  check_launch("silu_gate_backward");
}

void silu_gate_backward_twice(const SiluGate& a, const void* dy, const void* of, void* d_dy, void* d_packed, Element element,
                              cudaStream_t stream) {
  if (a.rows * a.width == 0) return;
  dispatch(element, in_chunks(a.width, {a.packed, dy, of, d_dy, d_packed}), [&](auto type, auto width) {
    constexpr int kWidth = decltype(width)::value;
    twice_kernel<decltype(type), kWidth><<<blocks_for(a, kWidth), kThreads, 0, stream>>>(a, dy, of, d_dy, d_packed);
  });
  check_launch("silu_gate_backward_twice");
}

}  // namespace lacuna::cuda
