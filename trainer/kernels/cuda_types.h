// What the CUDA sides of all kernels have in common: element types and the stream, without a CUDA header, so that every build can
// include it. Kernels take raw device pointers, launch on the stream that they are given, allocate nothing, never wait for the
// device, and can be captured in a CUDA graph; a launch that fails throws lacuna::Error with the kernel's name.
#pragma once
#include <cstdint>

typedef struct CUstream_st* cudaStream_t;  // as the CUDA headers declare it

namespace lacuna::cuda {

enum class Element : int { f32, bf16 };

constexpr int64_t size_of(Element element) { return element == Element::f32 ? 4 : 2; }
constexpr const char* name_of(Element element) { return element == Element::f32 ? "fp32" : "bf16"; }

}  // namespace lacuna::cuda
