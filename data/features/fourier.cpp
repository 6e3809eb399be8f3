#include "data/features/fourier.h"

#include <numbers>
#include <string>

#include "data/error.h"

namespace lacuna {
namespace {

std::vector<std::complex<float>> circle(int64_t size, int64_t count) {
  std::vector<std::complex<float>> roots;
  for (int64_t k = 0; k < count; ++k) {
    roots.emplace_back(std::polar(1.0, -2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(size)));
  }
  return roots;
}

std::vector<int64_t> factors_of(int64_t n) {
  std::vector<int64_t> factors;
  for (; n % 4 == 0; n /= 4) factors.push_back(4);  // a pass less than two twos
  for (int64_t p = 2; n > 1; ++p) {
    for (; n % p == 0; n /= p) factors.push_back(p);
  }
  return factors;
}

struct Complex {
  Lanes re, im;
  friend Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
  friend Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
  friend Complex operator*(Complex a, std::complex<float> w) {
    return {a.re * w.real() - a.im * w.imag(), a.re * w.imag() + a.im * w.real()};
  }
};

}  // namespace

Fourier::Fourier(int64_t length)
    : half_(length / 2), factors_(factors_of(half_)), roots_(circle(half_, half_)), twiddles_(circle(length, half_ + 1)) {
  if (length < 2 || length % 2 != 0) throw Error(ExitCode::internal, "no spectrum of " + std::to_string(length) + " values");
}

// Stockham's form of the fast Fourier transform (decimation in frequency; Van Loan 1992, section 1.7): each pass reads one buffer
// and writes the other, and no reordering is needed.
void Fourier::transform(Space& space) const {
  int64_t length = half_, stride = 1;
  for (const int64_t radix : factors_) {
    const int64_t part = length / radix;
    for (int64_t q = 0; q < part; ++q) {
      for (int64_t r = 0; r < stride; ++r) {
        const auto in = [&](int64_t k) {
          const auto at = static_cast<size_t>(r + stride * (q + part * k));
          return Complex{space.re[at], space.im[at]};
        };
        const auto out = [&](int64_t j, Complex value) {
          const auto at = static_cast<size_t>(r + stride * (radix * q + j));
          if (j > 0) value = value * roots_[static_cast<size_t>(q * j * stride)];
          space.other_re[at] = value.re;
          space.other_im[at] = value.im;
        };
        if (radix == 4) {
          const auto a = in(0), b = in(1), c = in(2), d = in(3);
          const auto ac = a + c, bd = b + d, even = a - c, odd = b - d;
          const Complex turned{odd.im, Lanes{} - odd.re};  // -i odd
          out(0, ac + bd);
          out(1, even + turned);
          out(2, ac - bd);
          out(3, even - turned);
        } else {
          for (int64_t j = 0; j < radix; ++j) {
            Complex sum = in(0);
            for (int64_t k = 1; k < radix; ++k) sum = sum + in(k)*roots_[static_cast<size_t>(j * k % radix * (half_ / radix))];
            out(j, sum);
          }
        }
      }
    }
    std::swap(space.re, space.other_re);
    std::swap(space.im, space.other_im);
    length = part;
    stride *= radix;
  }
}

// Even and odd values as real and imaginary parts of half as many complex ones; their transforms E and O give
// X_k = E_k + w^k O_k and X_{half - k} = conj(E_k - w^k O_k).
void Fourier::power(const std::vector<Lanes>& frame, std::vector<Lanes>& power, Space& space) const {
  const auto size = static_cast<size_t>(half_);
  for (auto* buffer : {&space.re, &space.im, &space.other_re, &space.other_im}) buffer->resize(size);
  for (size_t n = 0; n < size; ++n) {
    space.re[n] = frame[2 * n];
    space.im[n] = frame[2 * n + 1];
  }
  transform(space);
  power.resize(size + 1);
  for (size_t k = 0; 2 * k <= size; ++k) {
    const size_t mirror = k == 0 ? 0 : size - k;
    const Complex z{space.re[k], space.im[k]}, conjugate{space.re[mirror], Lanes{} - space.im[mirror]};
    const auto twice_even = z + conjugate, difference = z - conjugate;
    const auto turned = Complex{difference.im, Lanes{} - difference.re} * twiddles_[k];
    const auto near = twice_even + turned, far = twice_even - turned;
    power[k] = (near.re * near.re + near.im * near.im) * 0.25F;
    power[size - k] = (far.re * far.re + far.im * far.im) * 0.25F;
  }
}

}  // namespace lacuna
