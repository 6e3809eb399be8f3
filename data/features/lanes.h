// Eight values, one of each of eight frames, that go through the same arithmetic: one vector register of the processor.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

namespace lacuna {

struct Lanes {
  static constexpr int64_t kSize = 8;
  using Vector __attribute__((vector_size(32))) = float;
  Vector v{};

  static Lanes all(float x) { return {Vector{} + x}; }
  float operator[](int64_t lane) const { return v[lane]; }
  void set(int64_t lane, float x) { v[lane] = x; }
  friend Lanes operator+(Lanes a, Lanes b) { return {a.v + b.v}; }
  friend Lanes operator-(Lanes a, Lanes b) { return {a.v - b.v}; }
  friend Lanes operator*(Lanes a, Lanes b) { return {a.v * b.v}; }
  friend Lanes operator*(Lanes a, float b) { return {a.v * b}; }
  friend Lanes operator/(Lanes a, Lanes b) { return {a.v / b.v}; }
  Lanes& operator+=(Lanes b) { return v += b.v, *this; }
};

inline Lanes max(Lanes a, float b) { return {a.v > b ? a.v : Lanes::all(b).v}; }

// Natural logarithm of positive normal numbers, to 2e-7 of 1 + |result|: x = 2^e m with m in [sqrt(1/2), sqrt(2)), and
// log m = 2 atanh(s) with s = (m - 1) / (m + 1), |s| < 0.172, of which five terms of the series are enough.
inline Lanes log(Lanes x) {
  using Bits __attribute__((vector_size(32))) = int32_t;
  Bits bits;
  std::memcpy(&bits, &x.v, sizeof bits);
  constexpr int32_t kRootOfHalf = 0x3f3504f3;  // sqrt(1/2)
  const Bits exponent = (bits - kRootOfHalf) >> 23;
  bits -= exponent << 23;
  Lanes::Vector m;
  std::memcpy(&m, &bits, sizeof m);
  const Lanes::Vector s = (m - 1) / (m + 1), t = s * s;
  const Lanes::Vector series = 2 * s * (1 + t * (1.F / 3 + t * (1.F / 5 + t * (1.F / 7 + t * (1.F / 9)))));
  return {__builtin_convertvector(exponent, Lanes::Vector) * 0.693147180559945F + series};
}

}  // namespace lacuna
