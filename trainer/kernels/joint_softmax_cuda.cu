// A warp does one row, twice over: its sums, and then what is written, whose inputs still lie in the first cache.
#include "trainer/kernels/chunk.cuh"
#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/joint_softmax_cuda.h"
#include "trainer/kernels/warp.cuh"

namespace lacuna::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

__device__ __forceinline__ int64_t row_of_warp() { return static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32; }
__device__ __forceinline__ bool is_first_lane() { return threadIdx.x % 32 == 0; }

template <int kWidth, class Visit>
__device__ __forceinline__ void each(int64_t keys, const Visit& visit) {
  for (int64_t key = threadIdx.x % 32 * kWidth; key < keys; key += 32 * kWidth) visit(key);
}

template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void forward_kernel(JointSoftmax a, const T* scores, const T* own, T* shares,
                                                           T* own_shares) {
  const int64_t row = row_of_warp();
  if (row >= a.rows) return;
  const float* mask = a.mask + row / (a.heads * a.length) * a.mask_batch_stride + row % a.length * a.mask_row_stride;
  const auto load_row = [&](int64_t key, float(&values)[kWidth]) {
    float added[kWidth];
    load_floats<kWidth>(scores + row * a.keys + key, values);
    load_floats<kWidth>(mask + key, added);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) values[j] += added[j];
  };
  const float mine = to_float(own[row]);
  float most = mine;
  each<kWidth>(a.keys, [&](int64_t key) {
    float values[kWidth];
    load_row(key, values);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) most = fmaxf(most, values[j]);
  });
  most = warp_max(most);
  float sum = 0;
  each<kWidth>(a.keys, [&](int64_t key) {
    float values[kWidth];
    load_row(key, values);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sum += expf(values[j] - most);
  });
  const float factor = 1 / (warp_sum(sum) + expf(mine - most));
  each<kWidth>(a.keys, [&](int64_t key) {
    float values[kWidth];
    load_row(key, values);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) values[j] = expf(values[j] - most) * factor;
    store_floats<kWidth>(shares + row * a.keys + key, values);
  });
  if (is_first_lane()) own_shares[row] = from_float<T>(expf(mine - most) * factor);
}

// out = A (by - sum(A by)), of the row and its own entry.
template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void backward_kernel(JointSoftmax a, const T* shares, const T* own_shares, const T* by,
                                                            const T* own_by, T* out, T* own_out) {
  const int64_t row = row_of_warp();
  if (row >= a.rows) return;
  const float mine = to_float(own_shares[row]), mine_by = to_float(own_by[row]);
  float sum = 0;
  each<kWidth>(a.keys, [&](int64_t key) {
    float share[kWidth], d[kWidth];
    load_floats<kWidth>(shares + row * a.keys + key, share);
    load_floats<kWidth>(by + row * a.keys + key, d);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sum += share[j] * d[j];
  });
  sum = warp_sum(sum) + mine * mine_by;
  each<kWidth>(a.keys, [&](int64_t key) {
    float share[kWidth], d[kWidth];
    load_floats<kWidth>(shares + row * a.keys + key, share);
    load_floats<kWidth>(by + row * a.keys + key, d);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) d[j] = share[j] * (d[j] - sum);
    store_floats<kWidth>(out + row * a.keys + key, d);
  });
  if (is_first_lane()) own_out[row] = from_float<T>(mine * (mine_by - sum));
}

// Of sum(P A (by - delta)), delta = sum(A by), with tau = sum(P A): by `by` A (P - tau), by A P (by - delta) - tau by.
template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void twice_kernel(JointSoftmax a, SharesTwice t) {
  const int64_t row = row_of_warp();
  if (row >= a.rows) return;
  const auto in = [&](const void* from) { return static_cast<const T*>(from) + row * a.keys; };
  const auto one = [&](const void* from) { return to_float(static_cast<const T*>(from)[row]); };
  const T *shares = in(t.shares), *by = in(t.by), *of = in(t.of);
  const float mine = one(t.own_shares), mine_by = one(t.own_by), mine_of = one(t.own_of);
  float delta = 0, tau = 0;
  each<kWidth>(a.keys, [&](int64_t key) {
    float share[kWidth], d[kWidth], p[kWidth];
    load_floats<kWidth>(shares + key, share);
    load_floats<kWidth>(by + key, d);
    load_floats<kWidth>(of + key, p);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      delta += share[j] * d[j];
      tau += share[j] * p[j];
    }
  });
  delta = warp_sum(delta) + mine * mine_by;
  tau = warp_sum(tau) + mine * mine_of;
  T *d_by = static_cast<T*>(t.d_by) + row * a.keys, *d_shares = static_cast<T*>(t.d_shares) + row * a.keys;
  each<kWidth>(a.keys, [&](int64_t key) {
    float share[kWidth], d[kWidth], p[kWidth];
    load_floats<kWidth>(shares + key, share);
    load_floats<kWidth>(by + key, d);
    load_floats<kWidth>(of + key, p);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      share[j] *= p[j] - tau;
      d[j] = p[j] * (d[j] - delta) - tau * d[j];
    }
    store_floats<kWidth>(d_by + key, share);
    store_floats<kWidth>(d_shares + key, d);
  });
  if (!is_first_lane()) return;
  static_cast<T*>(t.own_d_by)[row] = from_float<T>(mine * (mine_of - tau));
  static_cast<T*>(t.own_d_shares)[row] = from_float<T>(mine_of * (mine_by - delta) - tau * mine_by);
}

unsigned blocks_of(const JointSoftmax& a) { return static_cast<unsigned>(ceil_divide(a.rows, kWarps)); }

}  // namespace

void joint_softmax(const JointSoftmax& a, const void* scores, const void* own, void* shares, void* own_shares, Element element,
                   cudaStream_t stream) {
  if (a.rows == 0) return;
  const bool chunks = in_chunks(a.keys, {scores, shares, a.mask}) && a.mask_row_stride % kChunk == 0 && a.mask_batch_stride % kChunk == 0;
  dispatch(element, chunks, [&](auto type, auto width) {
    using T = decltype(type);
    forward_kernel<T, decltype(width)::value><<<blocks_of(a), kThreads, 0, stream>>>(
        a, static_cast<const T*>(scores), static_cast<const T*>(own), static_cast<T*>(shares), static_cast<T*>(own_shares));
  });
  check_launch("joint_softmax");
}

void joint_softmax_backward(const JointSoftmax& a, const void* shares, const void* own_shares, const void* by, const void* own_by,
                            void* out, void* own_out, Element element, cudaStream_t stream) {
  if (a.rows == 0) return;
  dispatch(element, in_chunks(a.keys, {shares, by, out}), [&](auto type, auto width) {
    using T = decltype(type);
    backward_kernel<T, decltype(width)::value><<<blocks_of(a), kThreads, 0, stream>>>(
        a, static_cast<const T*>(shares), static_cast<const T*>(own_shares), static_cast<const T*>(by),
        static_cast<const T*>(own_by), static_cast<T*>(out), static_cast<T*>(own_out));
  });
  check_launch("joint_softmax_backward");
}

void joint_softmax_backward_twice(const JointSoftmax& a, const SharesTwice& t, Element element, cudaStream_t stream) {
  if (a.rows == 0) return;
  dispatch(element, in_chunks(a.keys, {t.shares, t.by, t.of, t.d_by, t.d_shares}), [&](auto type, auto width) {
    twice_kernel<decltype(type), decltype(width)::value><<<blocks_of(a), kThreads, 0, stream>>>(a, t);
  });
  check_launch("joint_softmax_backward_twice");
}

}  // namespace lacuna::cuda
