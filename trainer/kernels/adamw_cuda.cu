#include <cuda_bf16.h>

#include "trainer/kernels/adamw_cuda.h"
#include "trainer/kernels/cuda_check.h"

namespace lacuna::cuda {
namespace {

constexpr int kThreads = 256, kVectors = 2;                  // of 16 bytes, a thread and buffer
constexpr int64_t kTile = int64_t{kThreads} * kVectors * 4;  // elements of one block

struct Coefficients {
  float beta1, beta2, epsilon, rate, scale, inverse_correction1, inverse_root2;
};

__device__ Coefficients coefficients(const AdamWUpdate& u) {
  return {u.beta1, u.beta2, u.epsilon, u.rate * u.scalars[0], u.scalars[1], __fdividef(1, u.scalars[2]), rsqrtf(u.scalars[3])};
}

__device__ float root(float x) {
  float y;
  asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Root and quotient are off by at most two units in the last place of a number that is a small part of p.
__device__ void update_one(float& p, float& m, float& v, float g, const Coefficients& c, float decay) {
  g *= c.scale;
  m = c.beta1 * m + (1 - c.beta1) * g;
  v = c.beta2 * v + (1 - c.beta2) * g * g;
  p -= c.rate * (__fdividef(m * c.inverse_correction1, root(v) * c.inverse_root2 + c.epsilon) + decay * p);
}

__device__ bool decays(const AdamWUpdate& u, int64_t element) {
  if (u.decays == nullptr) return true;
  const int64_t line = (u.begin + element) >> 5;
  return (__ldg(u.decays + (line >> 5)) >> (line & 31)) & 1;
}

// Volatile, so that the loads of all buffers start before anything waits for the scalars or branches on them. Nothing is read
// twice: the lines are the first to leave the cache.
__device__ float4 load(const float* p) {
  float4 x;
  asm volatile("ld.global.cs.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w) : "l"(p));
  return x;
}

__device__ void store(float* p, const float4& x) { __stcs(reinterpret_cast<float4*>(p), x); }

__device__ uint32_t packed(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

template <bool kCopy>
__device__ void update_tile(const AdamWUpdate& u, int64_t begin) {
  float4 p[kVectors], m[kVectors], v[kVectors], g[kVectors];
  float decay[kVectors];
#pragma unroll
  for (int k = 0; k < kVectors; ++k) {
    const int64_t e = begin + (k * kThreads + threadIdx.x) * 4;
    p[k] = load(u.parameters + e);
    g[k] = load(u.gradients + e);
    m[k] = load(u.first + e);
    v[k] = load(u.second + e);
    decay[k] = decays(u, e) ? u.weight_decay : 0;
  }
  const Coefficients c = coefficients(u);
  const bool skip = !isfinite(c.scale) || (u.skip != nullptr && *u.skip != 0);
#pragma unroll
  for (int k = 0; k < kVectors; ++k) {
    const int64_t e = begin + (k * kThreads + threadIdx.x) * 4;
    if (skip) continue;
    update_one(p[k].x, m[k].x, v[k].x, g[k].x, c, decay[k]);
    update_one(p[k].y, m[k].y, v[k].y, g[k].y, c, decay[k]);
    update_one(p[k].z, m[k].z, v[k].z, g[k].z, c, decay[k]);
    update_one(p[k].w, m[k].w, v[k].w, g[k].w, c, decay[k]);
    store(u.parameters + e, p[k]);
    store(u.first + e, m[k]);
    store(u.second + e, v[k]);
    if (kCopy) {
      *reinterpret_cast<uint2*>(static_cast<__nv_bfloat16*>(u.bf16_copy) + e) =
          make_uint2(packed(p[k].x, p[k].y), packed(p[k].z, p[k].w));
    }
  }
}

// The last block of a range whose length is no multiple of a tile.
template <bool kCopy>
__device__ void update_rest(const AdamWUpdate& u, int64_t begin) {
  const Coefficients c = coefficients(u);
  const bool skip = !isfinite(c.scale) || (u.skip != nullptr && *u.skip != 0);
  for (int64_t e = begin + threadIdx.x; e < u.count; e += kThreads) {
    const float g = u.gradients[e];
    if (skip) continue;
    update_one(u.parameters[e], u.first[e], u.second[e], g, c, decays(u, e) ? u.weight_decay : 0);
    if (kCopy) static_cast<__nv_bfloat16*>(u.bf16_copy)[e] = __float2bfloat16_rn(u.parameters[e]);
  }
}

template <bool kCopy>
__global__ void __launch_bounds__(kThreads, 4) adamw_kernel(const AdamWUpdate u) {
  const int64_t begin = blockIdx.x * kTile;
  if (begin + kTile <= u.count) {
    update_tile<kCopy>(u, begin);
  } else {
    update_rest<kCopy>(u, begin);
  }
}

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace

void adamw(const AdamWUpdate& u, cudaStream_t stream) {
  if (u.count <= 0) return;
  if (!aligned(u.parameters) || !aligned(u.first) || !aligned(u.second) || !aligned(u.gradients) || !aligned(u.bf16_copy)) {
    throw Error(ExitCode::internal,
                "adamw: a buffer does not start at a multiple of 16 bytes; ranges begin at multiples of 32 elements");
  }
  if (u.begin % 32 != 0)
    throw Error(ExitCode::internal, "adamw: the range begins at element " + std::to_string(u.begin) + ", not at a line of 32");
  const auto num_blocks = static_cast<unsigned>((u.count + kTile - 1) / kTile);
  if (u.bf16_copy != nullptr) {
    adamw_kernel<true><<<num_blocks, kThreads, 0, stream>>>(u);
  } else {
    adamw_kernel<false><<<num_blocks, kThreads, 0, stream>>>(u);
  }
  check_launch("adamw");
  // Not in the kernel: a fifth stream of writes among its nine costs more than this pass.
  if (u.zero_gradients) {
    check(cudaMemsetAsync(u.gradients, 0, static_cast<size_t>(u.count) * sizeof(float), stream), "clearing the gradients");
  }
}

}  // namespace lacuna::cuda
