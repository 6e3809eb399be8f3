// Rows are read and written in chunks of eight neighbours, 16 bytes at a time, and computed in fp32. What is too narrow or not
// aligned for that goes one element at a time, through the same code with a width of one.
#pragma once
#include <cuda_bf16.h>

#include <cstdint>
#include <initializer_list>

#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

constexpr int kChunk = 8;

// The bits of `kWidth` neighbours, 1 or kChunk of them.
template <class T, int kWidth>
struct Pack {
  T value;
};
template <class T>
struct Pack<T, kChunk> {
  uint4 word[sizeof(T) * kChunk / sizeof(uint4)];
};

template <int kWidth, class T>
__device__ __forceinline__ Pack<T, kWidth> load(const T* from) {
  Pack<T, kWidth> pack;
  if constexpr (kWidth == 1) {
    pack.value = *from;
  } else {
#pragma unroll
    for (size_t i = 0; i < sizeof(pack) / sizeof(uint4); ++i) pack.word[i] = reinterpret_cast<const uint4*>(from)[i];
  }
  return pack;
}

// For what is read once: it leaves the caches to what is read again.
template <int kWidth, class T>
__device__ __forceinline__ Pack<T, kWidth> load_once(const T* from) {
  Pack<T, kWidth> pack;
  if constexpr (kWidth == 1) {
    pack.value = *from;
  } else {
#pragma unroll
    for (size_t i = 0; i < sizeof(pack) / sizeof(uint4); ++i) pack.word[i] = __ldcs(reinterpret_cast<const uint4*>(from) + i);
  }
  return pack;
}

// To global memory.
template <int kWidth, class T>
__device__ __forceinline__ void store(T* to, const Pack<T, kWidth>& pack) {
  if constexpr (kWidth == 1) {
    *to = pack.value;
  } else {
#pragma unroll
    for (size_t i = 0; i < sizeof(pack) / sizeof(uint4); ++i) {
      __stwb(reinterpret_cast<uint4*>(to) + i, pack.word[i]);  // an assignment may be taken apart into four stores
    }
  }
}

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class T>
__device__ __forceinline__ T from_float(float x) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return x;
  } else {
    return __float2bfloat16_rn(x);
  }
}

template <class T, int kWidth>
__device__ __forceinline__ void unpack(const Pack<T, kWidth>& pack, float (&values)[kWidth]) {
  if constexpr (kWidth == 1) {
    values[0] = to_float(pack.value);
  } else {
#pragma unroll
    for (size_t i = 0; i < sizeof(pack) / sizeof(uint4); ++i) {
      const uint32_t words[4] = {pack.word[i].x, pack.word[i].y, pack.word[i].z, pack.word[i].w};
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if constexpr (sizeof(T) == sizeof(float)) {
          values[4 * i + j] = __uint_as_float(words[j]);
        } else {
          values[2 * j] = __uint_as_float(words[j] << 16);
          values[2 * j + 1] = __uint_as_float(words[j] & 0xffff0000u);
        }
      }
    }
  }
}

template <class T, int kWidth>
__device__ __forceinline__ Pack<T, kWidth> packed(const float (&values)[kWidth]) {
  Pack<T, kWidth> pack;
  if constexpr (kWidth == 1) {
    pack.value = from_float<T>(values[0]);
  } else {
#pragma unroll
    for (size_t i = 0; i < sizeof(pack) / sizeof(uint4); ++i) {
      uint32_t words[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if constexpr (sizeof(T) == sizeof(float)) {
          words[j] = __float_as_uint(values[4 * i + j]);
        } else {
          const uint32_t low = __bfloat16_as_ushort(__float2bfloat16_rn(values[2 * j]));
          const uint32_t high = __bfloat16_as_ushort(__float2bfloat16_rn(values[2 * j + 1]));
          words[j] = high << 16 | low;
        }
      }
      pack.word[i] = {words[0], words[1], words[2], words[3]};
    }
  }
  return pack;
}

template <int kWidth, class T>
__device__ __forceinline__ void load_floats(const T* from, float (&values)[kWidth]) {
  unpack<T, kWidth>(load<kWidth>(from), values);
}

template <int kWidth, class T>
__device__ __forceinline__ void store_floats(T* to, const float (&values)[kWidth]) {
  store<kWidth>(to, packed<T, kWidth>(values));
}

// Host side: whether rows of `width` elements at these addresses (null ones do not count) may go in chunks.
inline bool in_chunks(int64_t width, std::initializer_list<const void*> addresses) {
  bool aligned = width % kChunk == 0;
  for (const void* address : addresses) aligned = aligned && reinterpret_cast<uintptr_t>(address) % sizeof(uint4) == 0;
  return aligned;
}

// Host side: calls launch(T{}, width constant) for the element type and for chunks or single elements.
template <int kWidth>
struct Width {
  static constexpr int value = kWidth;
  // Numbers of chunks fit 32 bits on any device that holds them; numbers of elements may not.
  using Index = uint32_t;
};
template <>
struct Width<1> {
  static constexpr int value = 1;
  using Index = int64_t;
};

template <class Launch>
void dispatch(Element element, bool chunks, const Launch& launch) {
  if (element == Element::f32) {
    chunks ? launch(float{}, Width<kChunk>{}) : launch(float{}, Width<1>{});
  } else {
    chunks ? launch(__nv_bfloat16{}, Width<kChunk>{}) : launch(__nv_bfloat16{}, Width<1>{});
  }
}

constexpr int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace lacuna::cuda
