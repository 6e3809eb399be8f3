// A warp turns one token: every lane keeps one chunk of a head's pairs, so it reads its angles once and walks over the heads.
#include <algorithm>

#include "trainer/kernels/chunk.cuh"
#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/rotary_cuda.h"

namespace lacuna::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kUnroll = 2;  // heads of a lane in flight

template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void rotary_rows(Rotary a) {
  const int64_t token = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (token >= a.tokens) return;
  const int lane = threadIdx.x % 32;
  const int half = static_cast<int>(a.head_size / 2), chunks = half / kWidth;
  const int heads_at_once = chunks < 32 ? 32 / chunks : 1;
  const int64_t position = a.positions != nullptr ? a.positions[token] : token % a.length;
  const bool known = position >= 0 && position < a.num_positions;
  T* row = static_cast<T*>(a.qkv) + token * a.heads * a.head_size;
  // Heads of more than 32 chunks take several rounds; lanes beyond the last whole head rest.
  for (int chunk = chunks < 32 ? lane % chunks : lane; chunk < chunks; chunk += 32 * heads_at_once) {
    if (lane >= heads_at_once * chunks) break;
    float cosine[kWidth], sine[kWidth];
    if (known) {
      load_floats<kWidth>(a.cosine + position * half + chunk * kWidth, cosine);
      load_floats<kWidth>(a.sine + position * half + chunk * kWidth, sine);
    }
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      cosine[j] = known ? cosine[j] : __int_as_float(0x7fc00000);  // NaN: a wrong position must not go unseen
      sine[j] = known ? (a.inverse ? -sine[j] : sine[j]) : 0.0f;
    }
    for (int begin = chunks < 32 ? lane / chunks : 0; begin < a.heads_turned; begin += kUnroll * heads_at_once) {
      const auto at = [&](int u) { return row + (begin + u * heads_at_once) * a.head_size + chunk * kWidth; };
      const auto has = [&](int u) { return begin + u * heads_at_once < a.heads_turned; };
      Pack<T, kWidth> first[kUnroll], second[kUnroll];  // all loads stand before the first store
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        if (!has(u)) continue;
        first[u] = load<kWidth>(at(u));
        second[u] = load<kWidth>(at(u) + half);
      }
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        if (!has(u)) continue;
        float x[kWidth], y[kWidth];
        unpack<T, kWidth>(first[u], x);
        unpack<T, kWidth>(second[u], y);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) {
          const float turned = x[j] * cosine[j] - y[j] * sine[j];
          y[j] = y[j] * cosine[j] + x[j] * sine[j];
          x[j] = turned;
        }
        store_floats<kWidth>(at(u), x);
        store_floats<kWidth>(at(u) + half, y);
      }
    }
  }
}

// A thread turns one chunk of pairs; neighbours write neighbours.
template <class T, int kWidth>
__global__ __launch_bounds__(kThreads) void turn_pairs(Turn a, int64_t count) {
  const int64_t half = a.head_size / 2, chunks = half / kWidth;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += static_cast<int64_t>(gridDim.x) * kThreads) {
    const int64_t pair = i % chunks * kWidth, position = i / chunks % a.length;
    const int64_t head = i / chunks / a.length % a.heads, row = i / chunks / a.length / a.heads;
    const auto at = [&](const auto& h) { return row * h.row + head * h.head + position * h.position + pair; };
    const T* from = static_cast<const T*>(a.x.data) + at(a.x);
    T* to = static_cast<T*>(a.out.data) + at(a.out);
    const int64_t angle = row * a.angles_stride + position * a.head_size + pair;
    float x[kWidth], y[kWidth], cosine[kWidth], sine[kWidth];
    load_floats<kWidth>(from, x);
    load_floats<kWidth>(from + half, y);
    load_floats<kWidth>(a.cosine + angle, cosine);
    load_floats<kWidth>(a.sine + angle, sine);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const float c = a.scale * cosine[j], s = (a.inverse ? -a.scale : a.scale) * sine[j], turned = x[j] * c - y[j] * s;
      y[j] = y[j] * c + x[j] * s;
      x[j] = turned;
    }
    store_floats<kWidth>(to, x);
    store_floats<kWidth>(to + half, y);
  }
}

}  // namespace

void turn(const Turn& a, Element element, cudaStream_t stream) {
  bool chunks = in_chunks(a.head_size / 2, {a.x.data, a.out.data, a.cosine, a.sine});
  for (const int64_t stride : {a.x.row, a.x.head, a.x.position, a.out.row, a.out.head, a.out.position}) {
    chunks = chunks && stride % kChunk == 0;
  }
  dispatch(element, chunks, [&](auto type, auto width) {
    constexpr int kWidth = decltype(width)::value;
    const int64_t count = a.rows * a.heads * a.length * (a.head_size / 2 / kWidth);
    if (count == 0) return;
    const auto blocks = static_cast<unsigned>(std::min<int64_t>(ceil_divide(count, kThreads), 32 * 132));
    turn_pairs<decltype(type), kWidth><<<blocks, kThreads, 0, stream>>>(a, count);
  });
  check_launch("turn");
}

void rotary(const Rotary& a, Element element, cudaStream_t stream) {
  if (a.tokens == 0 || a.heads_turned == 0) return;
  const auto blocks = static_cast<unsigned>(ceil_divide(a.tokens, kWarps));
  dispatch(element, in_chunks(a.head_size / 2, {a.qkv, a.cosine, a.sine}), [&](auto type, auto width) {
    rotary_rows<decltype(type), decltype(width)::value><<<blocks, kThreads, 0, stream>>>(a);
  });
  check_launch("rotary");
}

}  // namespace lacuna::cuda
