// The statistics are those of the sum as it is stored, so that a recomputation from the stored sum gives the same bits.
#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/norm_rows.cuh"
#include "trainer/kernels/residual_norm_cuda.h"

namespace lacuna::cuda {
namespace {

using namespace norm_rows;

template <class T, int kChunks, int kRowWarps>
__global__ __launch_bounds__(kThreads) void norm_forward_rows(NormForward a) {
  using Layout = RowLayout<T, kChunks, kRowWarps>;
  __shared__ float slots[2][kWarps];
  const Layout layout(a.width);
  // From the last row to the first: the last are those that the product before this left in the cache, the first those that the
  // next one begins with.
  const int64_t row = a.rows - 1 - (static_cast<int64_t>(blockIdx.x) * Layout::kRows + layout.group);
  if (row < 0) return;  // all threads of the row together
  const int64_t begin = row * a.width + layout.column;
  const T* residual = static_cast<const T*>(a.residual) + begin;
  const T* delta = static_cast<const T*>(a.delta) + begin;

  Pack<T, kChunk> sum[kChunks] = {},
                  added[kChunks] = {};  // all loads stand before the first store, which may go to the same memory
#pragma unroll
  for (int k = 0; k < kChunks; ++k) {
    if (layout.has(k)) sum[k] = load_once<kChunk>(residual + k * Layout::kStep);
  }
  if (a.delta != nullptr) {
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      if (layout.has(k)) added[k] = load_once<kChunk>(delta + k * Layout::kStep);
    }
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      float x[kChunk], y[kChunk];
      unpack<T, kChunk>(sum[k], x);
      unpack<T, kChunk>(added[k], y);
#pragma unroll
      for (int j = 0; j < kChunk; ++j) x[j] += y[j];
      sum[k] = packed<T, kChunk>(x);
    }
  }
  if (a.sum != nullptr) {
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      if (layout.has(k)) store<kChunk>(static_cast<T*>(a.sum) + begin + k * Layout::kStep, sum[k]);
    }
  }

  const bool centred = a.mean != nullptr;
  const float share = 1.0f / layout.width;
  float mean = 0;
  if (centred) {
    float total = 0;  // a chunk that is not there is zero
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      float x[kChunk];
      unpack<T, kChunk>(sum[k], x);
#pragma unroll
      for (int j = 0; j < kChunk; ++j) total += x[j];
    }
    mean = row_sum<kRowWarps>(total, slots[0]) * share;
  }
  float squares = 0;
#pragma unroll
  for (int k = 0; k < kChunks; ++k) {
    if (!layout.has(k)) continue;
    float x[kChunk];
    unpack<T, kChunk>(sum[k], x);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) squares += (x[j] - mean) * (x[j] - mean);
  }
  const float rstd = rsqrtf(row_sum<kRowWarps>(squares, slots[1]) * share + a.epsilon);
  if (layout.lane == 0) {
    if (centred) a.mean[row] = mean;
    a.rstd[row] = rstd;
  }

#pragma unroll
  for (int k = 0; k < kChunks; ++k) {
    if (!layout.has(k)) continue;
    const int column = layout.column + k * Layout::kStep;
    float x[kChunk], weight[kChunk], bias[kChunk] = {};
    unpack<T, kChunk>(sum[k], x);
    load_floats<kChunk>(static_cast<const T*>(a.weight) + column, weight);
    if (a.bias != nullptr) load_floats<kChunk>(static_cast<const T*>(a.bias) + column, bias);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) x[j] = normalized(x[j], mean, rstd, weight[j], bias[j]);
    store_floats<kChunk>(static_cast<T*>(a.normed) + begin + k * Layout::kStep, x);
  }
}

// Any width and any alignment: a block a row, which is read as often as it is needed.
template <class T>
__global__ __launch_bounds__(kThreads) void norm_forward_any(NormForward a) {
  __shared__ float slots[2][kWarps];
  const int64_t row = blockIdx.x, begin = row * a.width;
  const T* residual = static_cast<const T*>(a.residual) + begin;
  const T* delta = static_cast<const T*>(a.delta) + begin;
  T* sum = static_cast<T*>(a.sum) + begin;
  // Once stored, the sum is read back by the thread that stored it: the residual may be gone.
  const auto value = [&](int64_t i, bool stored) {
    if (stored && a.sum != nullptr) return to_float(sum[i]);
    const float x = to_float(residual[i]);
    return a.delta == nullptr ? x : to_float(from_float<T>(x + to_float(delta[i])));
  };
  float total = 0;
  for (int64_t i = threadIdx.x; i < a.width; i += kThreads) {
    const float x = value(i, false);
    if (a.sum != nullptr) sum[i] = from_float<T>(x);
    total += x;
  }
  const bool centred = a.mean != nullptr;
  const float mean = centred ? row_sum<kWarps>(total, slots[0]) / a.width : 0.0f;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < a.width; i += kThreads) {
    const float x = value(i, true) - mean;
    squares += x * x;
  }
  const float rstd = rsqrtf(row_sum<kWarps>(squares, slots[1]) / a.width + a.epsilon);
  if (threadIdx.x == 0) {
    if (centred) a.mean[row] = mean;
    a.rstd[row] = rstd;
  }
  for (int64_t i = threadIdx.x; i < a.width; i += kThreads) {
    const float bias = a.bias == nullptr ? 0.0f : to_float(static_cast<const T*>(a.bias)[i]);
    const float y = normalized(value(i, true), mean, rstd, to_float(static_cast<const T*>(a.weight)[i]), bias);
    static_cast<T*>(a.normed)[begin + i] = from_float<T>(y);
  }
}

template <class T, int kWidth, class Index>
__global__ __launch_bounds__(kThreads) void renormed_rows(NormRecompute a, Index chunks_of_row, Index total) {
  const Index i = static_cast<Index>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= total) return;
  const int64_t row = i / chunks_of_row, column = static_cast<int64_t>(i % chunks_of_row) * kWidth;
  const float mean = a.mean == nullptr ? 0.0f : a.mean[row], rstd = a.rstd[row];
  float x[kWidth], weight[kWidth], bias[kWidth] = {};
  load_floats<kWidth>(static_cast<const T*>(a.sum) + row * a.width + column, x);
  load_floats<kWidth>(static_cast<const T*>(a.weight) + column, weight);
  if (a.bias != nullptr) load_floats<kWidth>(static_cast<const T*>(a.bias) + column, bias);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) x[j] = normalized(x[j], mean, rstd, weight[j], bias[j]);
  store_floats<kWidth>(static_cast<T*>(a.normed) + row * a.width + column, x);
}

}  // namespace

void residual_norm(const NormForward& arguments, Element element, cudaStream_t stream) {
  auto a = arguments;
  if (a.rows == 0 || a.width == 0) return;
  if (a.delta == nullptr && a.sum == a.residual) a.sum = nullptr;
  const bool rows = in_chunks(a.width, {a.residual, a.delta, a.weight, a.bias, a.sum, a.normed}) && fits_a_block(a.width);
  dispatch(element, rows, [&](auto type, auto width) {
    using T = decltype(type);
    if constexpr (decltype(width)::value == kChunk) {
      with_layout<2>(a.width, [&](auto chunks, auto warps) {
        constexpr int kChunks = decltype(chunks)::value, kRowWarps = decltype(warps)::value;
        const auto blocks = static_cast<unsigned>(ceil_divide(a.rows, kWarps / kRowWarps));
        norm_forward_rows<T, kChunks, kRowWarps><<<blocks, kThreads, 0, stream>>>(a);
      });
    } else {
      norm_forward_any<T><<<static_cast<unsigned>(a.rows), kThreads, 0, stream>>>(a);
    }
  });
  check_launch("residual_norm");
}

void renormed(const NormRecompute& a, Element element, cudaStream_t stream) {
  if (a.rows == 0 || a.width == 0) return;
  dispatch(element, in_chunks(a.width, {a.sum, a.weight, a.bias, a.normed}), [&](auto type, auto width) {
    using Index = typename decltype(width)::Index;
    constexpr int kWidth = decltype(width)::value;
    const int64_t chunks = a.width / kWidth, total = a.rows * chunks;
    renormed_rows<decltype(type), kWidth, Index><<<static_cast<unsigned>(ceil_divide(total, kThreads)), kThreads, 0, stream>>>(
        a, static_cast<Index>(chunks), static_cast<Index>(total));
  });
  check_launch("renormed");
}

}  // namespace lacuna::cuda
