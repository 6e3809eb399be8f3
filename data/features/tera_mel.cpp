#include "data/features/tera_mel.h"

#include <cmath>
#include <numbers>
#include <string>

#include "data/error.h"

namespace lacuna {
namespace {

constexpr double kLoudness = 0.056234132519034911;  // -25 dB: 10^(-25 / 20)

int64_t whole(double samples, int64_t least, int64_t sample_rate) {
  const auto rounded = static_cast<int64_t>(std::llround(samples));
  if (rounded >= least) return rounded;
  throw usage_error("At " + std::to_string(sample_rate) + " Hz a frame or hop has less than " + std::to_string(least) +
                    " samples.");
}

int64_t mirrored(int64_t i, int64_t size) { return i < 0 ? -i : i < size ? i : 2 * (size - 1) - i; }

// In place, (frames, bins): each bin to mean 0 and deviation 1. A single frame becomes zeros.
void normalise(std::vector<float>& values, int64_t frames, int64_t bins) {
  for (int64_t bin = 0; bin < bins; ++bin) {
    const auto at = [&](int64_t t) -> float& { return values[static_cast<size_t>(t * bins + bin)]; };
    double sum = 0, squares = 0;
    for (int64_t t = 0; t < frames; ++t) sum += at(t);
    const double mean = sum / static_cast<double>(frames);
    for (int64_t t = 0; t < frames; ++t) squares += (at(t) - mean) * (at(t) - mean);
    const double deviation = frames > 1 ? std::sqrt(squares / static_cast<double>(frames - 1)) : 0;
    for (int64_t t = 0; t < frames; ++t) at(t) = static_cast<float>((at(t) - mean) / (deviation + 1e-10));
  }
}

}  // namespace

TeraMel::TeraMel(const FeatureOptions& options, int64_t sample_rate)
    : bins_(options.mel_bins),
      size_(2 * whole(static_cast<double>(sample_rate) * options.frame_ms / 2000, 1, sample_rate)),
      hop_(whole(static_cast<double>(sample_rate) * options.hop_ms / 1000, 1, sample_rate)),
      fourier_(size_),
      bank_({.filters = options.mel_bins,
             .length = size_,
             .sample_rate = static_cast<double>(sample_rate),
             .low = 0,
             .high = static_cast<double>(sample_rate) / 2,
             .slope = MelSlope::hertz,
             .nyquist = true}) {
  for (int64_t i = 0; i < size_; ++i) {
    window_.push_back(
        static_cast<float>(0.5 - 0.5 * std::cos(2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(size_))));
  }
}

std::vector<float> TeraMel::operator()(std::span<const float> samples) const {
  const auto length = static_cast<int64_t>(samples.size()), frames = num_frames(length);
  double squares = 0;
  for (const float x : samples) squares += static_cast<double>(x) * x;
  const auto gain =
      static_cast<float>(kLoudness / (std::sqrt(squares / static_cast<double>(std::max<int64_t>(1, length))) + 1e-10));
  std::vector<float> result(static_cast<size_t>(frames * bins_));
  std::vector<Lanes> frame(static_cast<size_t>(size_)), power, energies;
  Fourier::Space space;
  for (int64_t first = 0; first < frames; first += Lanes::kSize) {
    const int64_t count = std::min(Lanes::kSize, frames - first);
    for (int64_t lane = 0; lane < count; ++lane) {
      const int64_t start = (first + lane) * hop_ - size_ / 2;
      for (int64_t i = 0; i < size_; ++i) {
        const auto sample = samples[static_cast<size_t>(mirrored(start + i, length))];
        frame[static_cast<size_t>(i)].set(lane, sample * gain * window_[static_cast<size_t>(i)]);
      }
    }
    fourier_.power(frame, power, space);
    bank_.apply(power, energies);
    for (int64_t bin = 0; bin < bins_; ++bin) {
      const Lanes value = log(energies[static_cast<size_t>(bin)] + Lanes::all(1e-10F));
      for (int64_t lane = 0; lane < count; ++lane) result[static_cast<size_t>((first + lane) * bins_ + bin)] = value[lane];
    }
  }
  normalise(result, frames, bins_);
  return result;
}

}  // namespace lacuna
