// The functions of activations_cuda.h and their slopes, element by element.
#pragma once
#include "trainer/kernels/activations_cuda.h"

namespace lacuna::cuda {

// The hardware's 2^x and 1 / x, right to two units in the last place of fp32, without a care for numbers under 1e-38: those, and
// what they would be divided by, are 0.
__device__ __forceinline__ float quick_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float quick_reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
constexpr float kLog2E = 1.4426950408889634f;

__device__ __forceinline__ float sigmoid(float x) { return quick_reciprocal(1.0f + quick_exp2(-kLog2E * x)); }

// value and slope of the function at x. 0.5 (1 + tanh(u)) is sigmoid(2 u), which stays exact where tanh is next to -1.
template <Nonlinearity kFunction>
__device__ __forceinline__ void evaluate(float x, float& value, float& slope) {
  if constexpr (kFunction == Nonlinearity::silu) {
    const float s = sigmoid(x);
    value = x * s;
    slope = s * (1.0f + x * (1.0f - s));
  } else if constexpr (kFunction == Nonlinearity::gelu_tanh) {
    constexpr float kScale = 1.5957691216057308f, kCubic = 0.044715f;  // 2 sqrt(2 / pi)
    const float square = x * x;
    const float s = sigmoid(kScale * x * (1.0f + kCubic * square));
    value = x * s;
    slope = s + x * s * (1.0f - s) * kScale * (1.0f + 3.0f * kCubic * square);
  } else {
    // Phi by a polynomial in 1 / (1 + p |x|) times the normal density, right to 8e-8 (Abramowitz and Stegun 1964, 7.1.26). The
    // density serves the slope too; erff() takes longer than the memory does.
    const float density = quick_exp2(-0.5f * kLog2E * x * x), t = quick_reciprocal(1.0f + 0.23164190f * fabsf(x));
    const float polynomial =
        t * (0.127414796f + t * (-0.142248368f + t * (0.710706871f + t * (-0.726576014f + t * 0.530702715f))));
    const float tail = polynomial * density, share = x < 0 ? tail : 1.0f - tail;  // tail = Phi(-|x|)
    value = x * share;
    slope = share + x * 0.39894228040143268f * density;
  }
}

// Host side: calls launch(constant of f).
template <class Launch>
void with_function(Nonlinearity f, const Launch& launch) {
  switch (f) {
    case Nonlinearity::gelu:
      return launch(std::integral_constant<Nonlinearity, Nonlinearity::gelu>{});
    case Nonlinearity::gelu_tanh:
      return launch(std::integral_constant<Nonlinearity, Nonlinearity::gelu_tanh>{});
    case Nonlinearity::silu:
      return launch(std::integral_constant<Nonlinearity, Nonlinearity::silu>{});
  }
}

}  // namespace lacuna::cuda
