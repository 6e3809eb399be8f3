// The power spectrum of real frames, eight at a time. Any even length; fast where its half is a product of small primes.
#pragma once
#include <complex>
#include <cstdint>
#include <vector>

#include "data/features/lanes.h"

namespace lacuna {

class Fourier {
 public:
  // Throws Error(internal) for lengths that are odd or below 2.
  explicit Fourier(int64_t length);
  int64_t length() const { return 2 * half_; }

  // What one thread works in.
  struct Space {
    std::vector<Lanes> re, im, other_re, other_im;
  };
  // |X_k|^2 for k = 0 to length / 2 of X_k = sum_n x_n exp(-2 pi i k n / length); `frame` has `length` values and `power`
  // length / 2 + 1.
  void power(const std::vector<Lanes>& frame, std::vector<Lanes>& power, Space& space) const;

 private:
  void transform(Space& space) const;
  int64_t half_;
  std::vector<int64_t> factors_;               // of half_
  std::vector<std::complex<float>> roots_;     // exp(-2 pi i k / half_)
  std::vector<std::complex<float>> twiddles_;  // exp(-2 pi i k / length)
};

}  // namespace lacuna
