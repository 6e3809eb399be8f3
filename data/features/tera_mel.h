// TERA's log mel spectrogram (Liu et al. 2021; s3prl): the recording's root mean square is set to -25 dB; frames are centred at
// multiples of the hop, beyond its ends the recording is mirrored (2 1 | 0 1 2); periodic Hann window; the power spectrum goes
// through filters whose sides are straight in Hz, from 0 Hz to half the sample rate; ln(x + 1e-10); then each mel bin of a
// recording is brought to mean 0 and deviation 1 (of n - 1).
#pragma once
#include "data/features/features.h"
#include "data/features/fourier.h"

namespace lacuna {

class TeraMel : public Features {
 public:
  TeraMel(const FeatureOptions& options, int64_t sample_rate);
  int64_t num_frames(int64_t samples) const override { return samples < least_samples() ? 0 : 1 + samples / hop_; }
  std::vector<float> operator()(std::span<const float> samples) const override;
  const MelBank& bank() const override { return bank_; }
  int64_t least_samples() const override { return size_ / 2 + 1; }  // that can be mirrored

 private:
  int64_t bins_, size_, hop_;
  std::vector<float> window_;
  Fourier fourier_;
  MelBank bank_;
};

}  // namespace lacuna
