#include "data/features/kaldi_fbank.h"

#include <limits>
#include <string>

#include "data/error.h"

namespace lacuna {
namespace {

int64_t samples_of(double milliseconds, int64_t sample_rate) {
  const auto samples = static_cast<int64_t>(static_cast<double>(sample_rate) * 0.001 * milliseconds);
  if (samples >= 2) return samples;
  throw usage_error("At " + std::to_string(sample_rate) + " Hz " + std::to_string(milliseconds) + " ms are not two samples.");
}

int64_t power_of_two(int64_t least) {
  int64_t n = 2;
  while (n < least) n *= 2;
  return n;
}

// Beyond its ends a recording goes on mirrored, the sample at the end included: 2 1 0 | 0 1 2.
int64_t mirrored(int64_t i, int64_t size) {
  const int64_t period = 2 * size;
  i = (i % period + period) % period;
  return i < size ? i : period - 1 - i;
}

}  // namespace

KaldiFbank::KaldiFbank(const FeatureOptions& options, int64_t sample_rate)
    : options_(options),
      size_(samples_of(options.frame_ms, sample_rate)),
      hop_(samples_of(options.hop_ms, sample_rate)),
      fourier_(power_of_two(size_)),
      bank_({.filters = options.mel_bins,
             .length = fourier_.length(),
             .sample_rate = static_cast<double>(sample_rate),
             .high = static_cast<double>(sample_rate) / 2}) {
  for (int64_t i = 0; i < size_; ++i) window_.push_back(static_cast<float>(window_value(options.window, i, size_)));
}

int64_t KaldiFbank::num_frames(int64_t samples) const {
  if (!options_.snip_edges) return (samples + hop_ / 2) / hop_;
  return samples < size_ ? 0 : 1 + (samples - size_) / hop_;
}

std::vector<float> KaldiFbank::operator()(std::span<const float> samples) const {
  const auto length = static_cast<int64_t>(samples.size()), frames = num_frames(length), bins = options_.mel_bins;
  const int64_t offset = options_.snip_edges ? 0 : hop_ / 2 - size_ / 2;
  std::vector<float> result(static_cast<size_t>(frames * bins));
  std::vector<Lanes> frame(static_cast<size_t>(fourier_.length())), power, energies;
  Fourier::Space space;
  const auto size = static_cast<size_t>(size_);
  const auto preemphasis = static_cast<float>(options_.preemphasis);
  for (int64_t first = 0; first < frames; first += Lanes::kSize) {
    const int64_t count = std::min(Lanes::kSize, frames - first);
    for (int64_t lane = 0; lane < count; ++lane) {
      const int64_t start = (first + lane) * hop_ + offset;
      if (start >= 0 && start + size_ <= length) {
        for (size_t i = 0; i < size; ++i) frame[i].set(lane, samples[static_cast<size_t>(start) + i]);
      } else {
        for (size_t i = 0; i < size; ++i) {
          frame[i].set(lane, samples[static_cast<size_t>(mirrored(start + static_cast<int64_t>(i), length))]);
        }
      }
    }
    Lanes sum;
    for (size_t i = 0; i < size; ++i) sum += frame[i];
    const Lanes mean = sum * (1.F / static_cast<float>(size_));
    Lanes previous = frame[0] - mean;
    for (size_t i = 0; i < size; ++i) {
      const Lanes centred = frame[i] - mean;
      frame[i] = (centred - previous * preemphasis) * window_[i];
      previous = centred;
    }
    std::fill(frame.begin() + size_, frame.end(), Lanes{});
    fourier_.power(frame, power, space);
    bank_.apply(power, energies);
    for (int64_t bin = 0; bin < bins; ++bin) {
      const Lanes value = log(max(energies[static_cast<size_t>(bin)], std::numeric_limits<float>::epsilon()));
      for (int64_t lane = 0; lane < count; ++lane) result[static_cast<size_t>((first + lane) * bins + bin)] = value[lane];
    }
  }
  return result;
}

}  // namespace lacuna
