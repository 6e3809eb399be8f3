// A warp does one row, twice over: its sums, and then what is written, whose inputs still lie in the first cache.
#include "trainer/kernels/chunk.cuh"
#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/rms_norm_cuda.h"
#include "trainer/kernels/warp.cuh"

namespace lacuna::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

// Row of this warp, and which of its elements are this lane's.
template <class T, int kWidth>
struct Row {
  const RmsNorm& a;
  int64_t offset;
  __device__ explicit Row(const RmsNorm& arguments)
      : a(arguments), offset((static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32) * arguments.width) {}
  __device__ bool exists() const { return offset < a.rows * a.width; }
  __device__ void load(const void* from, int64_t column, float (&values)[kWidth]) const {
    load_floats<kWidth>(static_cast<const T*>(from) + offset + column, values);
  }
  __device__ void load_weight(int64_t column, float (&values)[kWidth]) const {
    load_floats<kWidth>(static_cast<const T*>(a.weight) + column, values);
  }
  __device__ void store(void* to, int64_t column, const float (&values)[kWidth]) const {
    if (to != nullptr) store_floats<kWidth>(static_cast<T*>(to) + offset + column, values);
  }
  template <class Visit>
  __device__ void each(const Visit& visit) const {
    for (int64_t column = threadIdx.x % 32 * kWidth; column < a.width; column += 32 * kWidth) visit(column);
  }
  __device__ float inverse_root(float squares) const {
    return rsqrtf(warp_sum(squares) / static_cast<float>(a.width) + a.epsilon);
  }
};

template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void forward_kernel(RmsNorm a, void* y) {
  const Row<T, kWidth> row(a);
  if (!row.exists()) return;
  float squares = 0;
  row.each([&](int64_t column) {
    float x[kWidth];
    row.load(a.x, column, x);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) squares += x[j] * x[j];
  });
  const float r = row.inverse_root(squares);
  row.each([&](int64_t column) {
    float x[kWidth], w[kWidth];
    row.load(a.x, column, x);
    row.load_weight(column, w);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) x[j] *= r * w[j];
    row.store(y, column, x);
  });
}

// With m = mean(w dy x): dx = r w dy - r^3 m x.
template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void backward_kernel(RmsNorm a, const void* dy, void* dx, void* d_weight_rows) {
  const Row<T, kWidth> row(a);
  if (!row.exists()) return;
  float squares = 0, products = 0;
  row.each([&](int64_t column) {
    float x[kWidth], w[kWidth], d[kWidth];
    row.load(a.x, column, x);
    row.load_weight(column, w);
    row.load(dy, column, d);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      squares += x[j] * x[j];
      products += w[j] * d[j] * x[j];
    }
  });
  const float r = row.inverse_root(squares);
  const float along = r * r * r * warp_sum(products) / static_cast<float>(a.width);
  row.each([&](int64_t column) {
    float x[kWidth], w[kWidth], d[kWidth], out[kWidth];
    row.load(a.x, column, x);
    row.load_weight(column, w);
    row.load(dy, column, d);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) out[j] = r * w[j] * d[j] - along * x[j];
    row.store(dx, column, out);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) out[j] = r * d[j] * x[j];
    row.store(d_weight_rows, column, out);
  });
}

// Of sum(v dx), with n = width, s = sum(v x), q = sum(v w dy), m as above and dr/dx = -r^3 x / n.
template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void twice_kernel(RmsNorm a, const void* dy, const void* v, void* d_dy, void* d_x,
                                                         void* d_weight_rows) {
  const Row<T, kWidth> row(a);
  if (!row.exists()) return;
  float squares = 0, products = 0, along_x = 0, along_dy = 0;
  row.each([&](int64_t column) {
    float x[kWidth], w[kWidth], d[kWidth], g[kWidth];
    row.load(a.x, column, x);
    row.load_weight(column, w);
    row.load(dy, column, d);
    row.load(v, column, g);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      squares += x[j] * x[j];
      products += w[j] * d[j] * x[j];
      along_x += g[j] * x[j];
      along_dy += g[j] * w[j] * d[j];
    }
  });
  const float n = static_cast<float>(a.width), r = row.inverse_root(squares), cube = r * r * r / n;
  const float m = warp_sum(products), s = warp_sum(along_x), q = warp_sum(along_dy);
  const float of_x = 3 * cube * r * r / n * m * s - cube * q;
  row.each([&](int64_t column) {
    float x[kWidth], w[kWidth], d[kWidth], g[kWidth], out[kWidth];
    row.load(a.x, column, x);
    row.load_weight(column, w);
    row.load(dy, column, d);
    row.load(v, column, g);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) out[j] = of_x * x[j] - cube * (s * w[j] * d[j] + m * g[j]);
    row.store(d_x, column, out);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) g[j] = r * g[j] - cube * s * x[j];
#pragma unroll
    for (int j = 0; j < kWidth; ++j) out[j] = w[j] * g[j];
    row.store(d_dy, column, out);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) out[j] = d[j] * g[j];
    row.store(d_weight_rows, column, out);
  });
}

unsigned blocks_of(const RmsNorm& a) { return static_cast<unsigned>(ceil_divide(a.rows, kWarps)); }

}  // namespace

void rms_norm(const RmsNorm& a, void* y, Element element, cudaStream_t stream) {
  if (a.rows == 0) return;
  dispatch(element, in_chunks(a.width, {a.x, a.weight, y}), [&](auto type, auto width) {
    forward_kernel<decltype(type), decltype(width)::value><<<blocks_of(a), kThreads, 0, stream>>>(a, y);
  });
  check_launch("rms_norm");
}

void rms_norm_backward(const RmsNorm& a, const void* dy, void* dx, void* d_weight_rows, Element element, cudaStream_t stream) {
  if (a.rows == 0) return;
  dispatch(element, in_chunks(a.width, {a.x, a.weight, dy, dx, d_weight_rows}), [&](auto type, auto width) {
    backward_kernel<decltype(type), decltype(width)::value><<<blocks_of(a), kThreads, 0, stream>>>(a, dy, dx, d_weight_rows);
  });
  check_launch("rms_norm_backward");
}

void rms_norm_backward_twice(const RmsNorm& a, const void* dy, const void* v, void* d_dy, void* d_x, void* d_weight_rows,
                             Element element, cudaStream_t stream) {
  if (a.rows == 0) return;
  dispatch(element, in_chunks(a.width, {a.x, a.weight, dy, v, d_dy, d_x, d_weight_rows}), [&](auto type, auto width) {
    twice_kernel<decltype(type), decltype(width)::value>
        <<<blocks_of(a), kThreads, 0, stream>>>(a, dy, v, d_dy, d_x, d_weight_rows);
  });
  check_launch("rms_norm_backward_twice");
}

}  // namespace lacuna::cuda
