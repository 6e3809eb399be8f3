// Device pieces that the kernels over rows of logits share: 16-byte vectors of elements, and the running maximum and sum of a
// row.
#pragma once
#include <cuda_bf16.h>

#include <cstdint>

#include "trainer/kernels/softmax_rows_cuda.h"

namespace lacuna::cuda {

constexpr int kMaxThreads = 512;
constexpr float kInfinity = __builtin_huge_valf();

// 16 bytes as floats, and back.
template <class T>
struct Vector;

template <>
struct Vector<float> {
  static constexpr int kWidth = 4;
  static __device__ void unpack(const uint4& raw, float (&x)[4]) {
    x[0] = __uint_as_float(raw.x);
    x[1] = __uint_as_float(raw.y);
    x[2] = __uint_as_float(raw.z);
    x[3] = __uint_as_float(raw.w);
  }
  static __device__ uint4 pack(const float (&x)[4]) {
    return make_uint4(__float_as_uint(x[0]), __float_as_uint(x[1]), __float_as_uint(x[2]), __float_as_uint(x[3]));
  }
  static __device__ float widen(float x) { return x; }
};

template <>
struct Vector<__nv_bfloat16> {
  static constexpr int kWidth = 8;
  static __device__ void unpack(const uint4& raw, float (&x)[8]) {
    const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      x[i * 2] = __uint_as_float(words[i] << 16);
      x[i * 2 + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
  }
  static __device__ uint4 pack(const float (&x)[8]) {
    uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const __nv_bfloat162 pair = __floats2bfloat162_rn(x[i * 2], x[i * 2 + 1]);
      words[i] = *reinterpret_cast<const uint32_t*>(&pair);
    }
    return make_uint4(words[0], words[1], words[2], words[3]);
  }
  static __device__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }
};

// e^(x - shift). The difference first, and exact: of large logits a product would leave nothing.
__device__ inline float exponential(float x, float shift) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"((x - shift) * 1.4426950408889634f));
  return y;
}

// Of some columns of a row: the largest logit (-inf of none), the sum of exp(z - maximum), and of z where it is asked for.
struct RowSums {
  float maximum, sum, total;
};

// A maximum of -inf has nothing below it: exp(z - 0) = 0 instead of NaN.
__device__ inline float shift_of(float maximum) { return maximum == -kInfinity ? 0 : maximum; }

template <class T, bool kTotal>
__device__ void add_vector(RowSums& sums, const uint4& raw, int64_t column, int64_t real) {
  constexpr int kWidth = Vector<T>::kWidth;
  float x[kWidth];
  Vector<T>::unpack(raw, x);
  if (column + kWidth > real) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      if (column + i >= real) x[i] = -kInfinity;
    }
  }
  float largest = x[0];
#pragma unroll
  for (int i = 1; i < kWidth; ++i) largest = fmaxf(largest, x[i]);
  if (largest > sums.maximum) {
    sums.sum *= exponential(sums.maximum, largest);
    sums.maximum = largest;
  }
  const float shift = shift_of(sums.maximum);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    sums.sum += exponential(x[i], shift);
    if (kTotal) sums.total += column + i < real ? x[i] : 0;
  }
}

// In every lane the sums of all; a sum of two is the same whichever comes first, so that all lanes agree to the bit.
template <bool kTotal>
__device__ RowSums combine_in_warp(RowSums own) {
  float maximum = own.maximum;
  for (int offset = 16; offset > 0; offset /= 2) maximum = fmaxf(maximum, __shfl_xor_sync(~0u, maximum, offset));
  float sum = own.sum * exponential(own.maximum, shift_of(maximum));
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
  float total = own.total;
  if (kTotal) {
    for (int offset = 16; offset > 0; offset /= 2) total += __shfl_xor_sync(~0u, total, offset);
  }
  return {maximum, sum, total};
}

// In every thread the sums of the block, whose size is a multiple of 32. To be called once in a kernel.
template <bool kTotal>
__device__ RowSums combine_in_block(RowSums own) {
  __shared__ RowSums warps[kMaxThreads / 32];
  own = combine_in_warp<kTotal>(own);
  const int lane = threadIdx.x % 32;
  if (lane == 0) warps[threadIdx.x / 32] = own;
  __syncthreads();
  return combine_in_warp<kTotal>(lane < blockDim.x / 32 ? warps[lane] : RowSums{-kInfinity, 0, 0});
}

__device__ inline float loss_of(const RowSums& sums, float target_logit, int64_t real, const SoftmaxOptions& options) {
  const float root = logf(sums.sum);
  float loss = (sums.maximum - target_logit) + root;
  if (options.smoothing != 0) loss += options.smoothing * (target_logit - sums.total / static_cast<float>(real));
  return loss;
}

// The derivative with respect to z: scale * exp(z - maximum) - spread, and one_hot less at the target.
struct Slope {
  float maximum, scale, spread, one_hot;
  int64_t target, real;  // columns

  __device__ Slope(const RowSums& sums, float weight, int64_t target_column, int64_t real_columns, const SoftmaxOptions& options)
      : maximum(sums.maximum),
        scale(weight * (1 + 2 * options.z_loss * (sums.maximum + logf(sums.sum))) / sums.sum),
        spread(weight * options.smoothing / static_cast<float>(real_columns)),
        one_hot(weight * (1 - options.smoothing)),
        target(target_column),
        real(real_columns) {}

  template <class T, bool kSmoothing>
  __device__ uint4 of(const uint4& raw, int64_t column) const {
    constexpr int kWidth = Vector<T>::kWidth;
    float x[kWidth];
    Vector<T>::unpack(raw, x);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) x[i] = exponential(x[i], maximum) * scale - (kSmoothing ? spread : 0);
    if (target >= column && target < column + kWidth) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) x[i] -= column + i == target && target < real ? one_hot : 0;
    }
    if (column + kWidth > real) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        if (column + i >= real) x[i] = 0;
      }
    }
    return Vector<T>::pack(x);
  }
};

// Enough threads that each has two vectors or more.
inline int threads_for(int64_t num_vectors) {
  const int64_t wanted = (num_vectors / 2 + 31) / 32 * 32;
  return static_cast<int>(wanted < 32 ? 32 : wanted > kMaxThreads ? kMaxThreads : wanted);
}

// The world-1 loss of rows that fit on chip (softmax_resident_cuda.cu). False, and nothing launched, where they do not.
bool launch_resident(const LogitRows& rows, const float* weights, float* loss_rows, const SoftmaxOptions& options,
                     cudaStream_t stream);

}  // namespace lacuna::cuda
