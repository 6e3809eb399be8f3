// Log mel energies as Kaldi makes them (Povey et al. 2011; torchaudio.compliance.kaldi.fbank): of each frame by itself, the mean
// is taken away, then y[i] = x[i] - 0.97 x[i - 1] (with x[-1] = x[0]), then it is windowed, padded with zeros to a power of two,
// and its power spectrum goes through filters whose sides are straight in mel. ln of at least 1.19e-7.
#pragma once
#include "data/features/features.h"
#include "data/features/fourier.h"

namespace lacuna {

class KaldiFbank : public Features {
 public:
  KaldiFbank(const FeatureOptions& options, int64_t sample_rate);
  int64_t num_frames(int64_t samples) const override;
  std::vector<float> operator()(std::span<const float> samples) const override;
  const MelBank& bank() const override { return bank_; }
  int64_t least_samples() const override { return options_.snip_edges ? size_ : (hop_ + 1) / 2; }

 private:
  FeatureOptions options_;
  int64_t size_, hop_;  // samples
  std::vector<float> window_;
  Fourier fourier_;
  MelBank bank_;
};

}  // namespace lacuna
