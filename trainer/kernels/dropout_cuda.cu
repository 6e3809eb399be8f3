// Element i of row b takes word i % 4 of block i / 4 of the row's generator, as the host does. A thread makes its row's key once
// for several chunks.
#include "data/philox.h"
#include "trainer/kernels/chunk.cuh"
#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/dropout_cuda.h"

namespace lacuna::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kUnroll = 4;  // chunks of a thread

// The mask of four neighbours.
__device__ __forceinline__ void mask_block(const Dropout& a, const std::array<uint32_t, 2>& key, int64_t block, float* mask) {
  const auto index = static_cast<uint64_t>(block);
  const auto bits = philox({low_word(index), high_word(index), low_word(a.stream), high_word(a.stream)}, key);
#pragma unroll
  for (int j = 0; j < 4; ++j) mask[j] = bits[j] < a.threshold ? 0.0f : a.scale;
}

template <class T>
__global__ __launch_bounds__(kThreads) void dropout_chunks(Dropout a) {
  const int64_t row = blockIdx.x;
  const auto key = forked_key(a.key, static_cast<uint64_t>(a.stream_positions[row]), kNumberName);
  const T* x = static_cast<const T*>(a.x) + row * a.row_size;
  const T* residual = static_cast<const T*>(a.residual) + row * a.row_size;
  T* y = static_cast<T*>(a.y) + row * a.row_size;
  const int64_t first = (static_cast<int64_t>(blockIdx.y) * kUnroll * kThreads + threadIdx.x) * kChunk;
  const auto at = [&](int u) { return first + static_cast<int64_t>(u) * kThreads * kChunk; };
  Pack<T, kChunk> in[kUnroll], base[kUnroll];  // loads before stores: y may be one of them
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    if (at(u) >= a.row_size) continue;
    in[u] = load_once<kChunk>(x + at(u));
    if (a.residual != nullptr) base[u] = load_once<kChunk>(residual + at(u));
  }
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    if (at(u) >= a.row_size) continue;
    float values[kChunk], sum[kChunk] = {}, mask[kChunk];
    unpack<T, kChunk>(in[u], values);
    if (a.residual != nullptr) unpack<T, kChunk>(base[u], sum);
    mask_block(a, key, at(u) / 4, mask);
    mask_block(a, key, at(u) / 4 + 1, mask + 4);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) sum[j] = __fadd_rn(sum[j], __fmul_rn(values[j], mask[j]));  // as the host rounds
    store_floats<kChunk>(y + at(u), sum);
  }
}

// Any size and alignment: a thread has one block of four draws.
template <class T>
__global__ __launch_bounds__(kThreads) void dropout_any(Dropout a) {
  const int64_t row = blockIdx.x;
  const int64_t first = (static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x) * 4;
  if (first >= a.row_size) return;
  const auto key = forked_key(a.key, static_cast<uint64_t>(a.stream_positions[row]), kNumberName);
  float mask[4];
  mask_block(a, key, first / 4, mask);
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    if (first + j >= a.row_size) break;
    const int64_t i = row * a.row_size + first + j;
    const float base = a.residual == nullptr ? 0.0f : to_float(static_cast<const T*>(a.residual)[i]);
    static_cast<T*>(a.y)[i] = from_float<T>(__fadd_rn(base, __fmul_rn(to_float(static_cast<const T*>(a.x)[i]), mask[j])));
  }
}

}  // namespace

void dropout(const Dropout& a, Element element, cudaStream_t stream) {
  if (a.rows == 0 || a.row_size == 0) return;
  const bool chunks = in_chunks(a.row_size, {a.residual, a.x, a.y});
  const int64_t parts = ceil_divide(a.row_size, chunks ? kUnroll * kThreads * kChunk : kThreads * 4);
  if (parts > 65535) throw Error(ExitCode::internal, "dropout: a row of " + std::to_string(a.row_size) + " elements is too long");
  const dim3 grid(static_cast<unsigned>(a.rows), static_cast<unsigned>(parts));
  dispatch(element, chunks, [&](auto type, auto width) {
    if constexpr (decltype(width)::value == kChunk) {
      dropout_chunks<decltype(type)><<<grid, kThreads, 0, stream>>>(a);
    } else {
      dropout_any<decltype(type)><<<grid, kThreads, 0, stream>>>(a);
    }
  });
  check_launch("dropout");
}

}  // namespace lacuna::cuda
