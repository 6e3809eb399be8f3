#include <string>

#include "data/error.h"
#include "trainer/kernels/chunk.cuh"
#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/run_attention_cuda.h"

namespace lacuna::cuda {
namespace {

using T = __nv_bfloat16;
constexpr int kThreads = 128;

template <int kSize>
__device__ __forceinline__ void load_head(const T* from, float (&values)[kSize]) {
#pragma unroll
  for (int c = 0; c < kSize; c += kChunk) {
    float part[kChunk];
    load_floats<kChunk>(from + c, part);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) values[c + j] = part[j];
  }
}
template <int kSize>
__device__ __forceinline__ void store_head(T* to, const float (&values)[kSize]) {
#pragma unroll
  for (int c = 0; c < kSize; c += kChunk) {
    float part[kChunk];
#pragma unroll
    for (int j = 0; j < kChunk; ++j) part[j] = values[c + j];
    store_floats<kChunk>(to + c, part);
  }
}
// The product with a head in memory.
template <int kSize>
__device__ __forceinline__ float dot(const float (&x)[kSize], const T* y) {
  float sum = 0;
#pragma unroll
  for (int c = 0; c < kSize; c += kChunk) {
    float part[kChunk];
    load_floats<kChunk>(y + c, part);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) sum += x[c + j] * part[j];
  }
  return sum;
}
template <int kSize>
__device__ __forceinline__ void add(float (&x)[kSize], float factor, const T* y) {
#pragma unroll
  for (int c = 0; c < kSize; c += kChunk) {
    float part[kChunk];
    load_floats<kChunk>(y + c, part);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) x[c + j] += factor * part[j];
  }
}

// One position of one head; neighbouring threads are neighbouring heads, which lie side by side.
template <int kSize>
struct Place {
  const RunAttention& a;
  int64_t position, head, stride;
  __device__ explicit Place(const RunAttention& arguments) : a(arguments) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    position = i / a.num_heads;
    head = i % a.num_heads;
    stride = a.num_heads * kSize;
  }
  __device__ bool exists() const { return position < a.positions; }
  __device__ const T* query(int64_t at) const { return static_cast<const T*>(a.packed) + at * 3 * stride + head * kSize; }
  __device__ const T* key(int64_t at) const { return query(at) + stride; }
  __device__ const T* value(int64_t at) const { return query(at) + 2 * stride; }
  __device__ const T* of(const void* rows, int64_t at) const { return static_cast<const T*>(rows) + at * stride + head * kSize; }
  __device__ int64_t first() const { return a.first[position]; }
  __device__ int64_t end() const { return a.end[position]; }
  __device__ int64_t end_of_keys() const { return a.causal ? position + 1 : end(); }
  __device__ int64_t first_of_queries() const { return a.causal ? position : first(); }
};

template <int kSize>
__global__ __launch_bounds__(kThreads) void forward_kernel(RunAttention a, void* out, float* log_sums) {
  const Place<kSize> place(a);
  if (!place.exists()) return;
  const float scale = rsqrtf(static_cast<float>(kSize));
  float query[kSize], mixed[kSize] = {}, most = -INFINITY, sum = 0;
  load_head(place.query(place.position), query);
  for (int64_t key = place.first(); key < place.end_of_keys(); ++key) {
    const float score = scale * dot(query, place.key(key));
    if (score > most) {
      const float shrink = expf(most - score);
      sum *= shrink;
#pragma unroll
      for (int j = 0; j < kSize; ++j) mixed[j] *= shrink;
      most = score;
    }
    const float share = expf(score - most);
    sum += share;
    add(mixed, share, place.value(key));
  }
#pragma unroll
  for (int j = 0; j < kSize; ++j) mixed[j] /= sum;
  store_head(static_cast<T*>(out) + place.position * place.stride + place.head * kSize, mixed);
  log_sums[place.position * a.num_heads + place.head] = most + logf(sum);
}

// With P the shares and dP = dO V^T: dS = P (dP - sum(dO O)), dQ = dS K, dK = dS^T Q, dV = P^T dO, the scale in each of the former.
template <int kSize>
__global__ __launch_bounds__(kThreads) void queries_backward_kernel(RunAttention a, const void* out, const float* log_sums,
                                                                    const void* d_out, void* d_packed) {
  const Place<kSize> place(a);
  if (!place.exists()) return;
  const float scale = rsqrtf(static_cast<float>(kSize));
  float query[kSize], by[kSize], gradient[kSize] = {};
  load_head(place.query(place.position), query);
  load_head(place.of(d_out, place.position), by);
  const float delta = dot(by, place.of(out, place.position)), log_sum = log_sums[place.position * a.num_heads + place.head];
  for (int64_t key = place.first(); key < place.end_of_keys(); ++key) {
    const float share = expf(scale * dot(query, place.key(key)) - log_sum);
    add(gradient, scale * share * (dot(by, place.value(key)) - delta), place.key(key));
  }
  store_head(static_cast<T*>(d_packed) + place.position * 3 * place.stride + place.head * kSize, gradient);
}

template <int kSize>
__global__ __launch_bounds__(kThreads) void keys_backward_kernel(RunAttention a, const void* out, const float* log_sums,
                                                                 const void* d_out, void* d_packed) {
  const Place<kSize> place(a);
  if (!place.exists()) return;
  const float scale = rsqrtf(static_cast<float>(kSize));
  float key[kSize], value[kSize], of_key[kSize] = {}, of_value[kSize] = {};
  load_head(place.key(place.position), key);
  load_head(place.value(place.position), value);
  for (int64_t query = place.first_of_queries(); query < place.end(); ++query) {
    float by[kSize];
    load_head(place.of(d_out, query), by);
    const float share = expf(scale * dot(key, place.query(query)) - log_sums[query * a.num_heads + place.head]);
    float above = 0;
#pragma unroll
    for (int j = 0; j < kSize; ++j) {
      of_value[j] += share * by[j];
      above += value[j] * by[j];
    }
    add(of_key, scale * share * (above - dot(by, place.of(out, query))), place.query(query));
  }
  T* to = static_cast<T*>(d_packed) + place.position * 3 * place.stride + place.head * kSize;
  store_head(to + place.stride, of_key);
  store_head(to + 2 * place.stride, of_value);
}

// Calls run(integral constant of the head size).
template <int kSize = kChunk, class Run>
void for_size(int64_t head_size, const Run& run) {
  if (head_size == kSize) {
    run(std::integral_constant<int, kSize>{});
  } else if constexpr (kSize < kLargestRunHead) {
    for_size<kSize + kChunk>(head_size, run);
  } else {
    throw Error(ExitCode::internal, "run attention: heads of " + std::to_string(head_size));
  }
}

unsigned blocks_of(const RunAttention& a) { return static_cast<unsigned>(ceil_divide(a.positions * a.num_heads, kThreads)); }

}  // namespace

void run_attention(const RunAttention& a, void* out, float* log_sums, cudaStream_t stream) {
  if (a.positions == 0) return;
  for_size(a.head_size, [&](auto size) {
    forward_kernel<decltype(size)::value><<<blocks_of(a), kThreads, 0, stream>>>(a, out, log_sums);
  });
  check_launch("run_attention");
}

void run_attention_backward(const RunAttention& a, const void* out, const float* log_sums, const void* d_out, void* d_packed,
                            cudaStream_t stream) {
  if (a.positions == 0) return;
  for_size(a.head_size, [&](auto size) {
    constexpr int kSize = decltype(size)::value;
    queries_backward_kernel<kSize><<<blocks_of(a), kThreads, 0, stream>>>(a, out, log_sums, d_out, d_packed);
    keys_backward_kernel<kSize><<<blocks_of(a), kThreads, 0, stream>>>(a, out, log_sums, d_out, d_packed);
  });
  check_launch("run_attention_backward");
}

}  // namespace lacuna::cuda
