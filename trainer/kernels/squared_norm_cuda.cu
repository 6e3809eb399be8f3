#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/squared_norm_cuda.h"

namespace lacuna::cuda {
namespace {

// The number of blocks is fixed, not the device's, so that the sum is the same on every device: 4 for each of 132
// multiprocessors.
constexpr int kBlocks = kSquaredNormWorkspace / 2, kThreads = 256, kVectors = 4;
constexpr int64_t kTile = int64_t{kThreads} * kVectors * 4;

struct Sums {
  double clear, set;
};

__device__ double sum_of_warp(double x) {
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_down_sync(~0u, x, offset);
  return x;
}

// Valid in thread 0.
__device__ Sums sum_of_block(Sums own) {
  __shared__ Sums warps[kThreads / 32];
  own = {sum_of_warp(own.clear), sum_of_warp(own.set)};
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = own;
  __syncthreads();
  Sums total{0, 0};
  for (int i = 0; i < kThreads / 32; ++i) {
    total.clear += warps[i].clear;
    total.set += warps[i].set;
  }
  return total;
}

__device__ bool marked(const uint32_t* mask, int64_t element) {
  if (mask == nullptr) return false;
  const int64_t line = element >> 5;
  return (__ldg(mask + (line >> 5)) >> (line & 31)) & 1;
}

// Sixteen squares in fp32, then double precision: the additions of doubles cost nothing beside the loads.
__global__ void __launch_bounds__(kThreads, 4)
    squared_norm_kernel(double* partial, const float* values, int64_t count, const uint32_t* mask, int64_t first) {
  Sums sums{0, 0};
  for (int64_t begin = blockIdx.x * kTile; begin < count; begin += kBlocks * kTile) {
    float clear = 0, set = 0;
    if (begin + kTile <= count) {
      float4 x[kVectors];
#pragma unroll
      for (int k = 0; k < kVectors; ++k) {
        x[k] = __ldg(reinterpret_cast<const float4*>(values + begin) + k * kThreads + threadIdx.x);
      }
#pragma unroll
      for (int k = 0; k < kVectors; ++k) {
        const float square = x[k].x * x[k].x + x[k].y * x[k].y + x[k].z * x[k].z + x[k].w * x[k].w;
        const bool is_set = marked(mask, first + begin + (k * kThreads + threadIdx.x) * 4);
        clear += is_set ? 0 : square;
        set += is_set ? square : 0;
      }
    } else {
      for (int64_t e = begin + threadIdx.x; e < count; e += kThreads) {
        const float square = values[e] * values[e];
        (marked(mask, first + e) ? set : clear) += square;
      }
    }
    sums.clear += clear;
    sums.set += set;
  }
  const Sums total = sum_of_block(sums);
  if (threadIdx.x == 0) {
    partial[blockIdx.x * 2] = total.clear;
    partial[blockIdx.x * 2 + 1] = total.set;
  }
}

__global__ void __launch_bounds__(kThreads) sum_partials_kernel(double* out, const double* partial) {
  Sums sums{0, 0};
  for (int i = threadIdx.x; i < kBlocks; i += kThreads) {
    sums.clear += partial[i * 2];
    sums.set += partial[i * 2 + 1];
  }
  const Sums total = sum_of_block(sums);
  if (threadIdx.x == 0) {
    out[0] = total.clear;
    out[1] = total.set;
  }
}

}  // namespace

void squared_norm(double* sums, const float* values, int64_t count, const uint32_t* mask, int64_t begin, double* workspace,
                  cudaStream_t stream) {
  if (reinterpret_cast<uintptr_t>(values) % 16 != 0 || begin % 32 != 0) {
    throw Error(ExitCode::internal, "squared_norm: the values do not start at a line of the flat buffer (element " +
                                        std::to_string(begin) + "); ranges begin at multiples of 32 elements");
  }
  squared_norm_kernel<<<kBlocks, kThreads, 0, stream>>>(workspace, values, count, mask, begin);
  check_launch("squared_norm");
  sum_partials_kernel<<<1, kThreads, 0, stream>>>(sums, workspace);
  check_launch("squared_norm's second stage");
}

}  // namespace lacuna::cuda
