// From a waveform to frames of log mel energies. Two kinds, which differ in nearly every step and must not be mistaken for each
// other:
//   kaldi_fbank  Kaldi's filter bank as torchaudio.compliance.kaldi.fbank has it (dither 0, no energy column), SSAST's input
//   mel          TERA's: loudness set to -25 dB, a centred short-time Fourier transform, and each bin of a recording brought to
//   mean 0
//                and deviation 1 (Liu et al. 2021; s3prl)
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/features/mel_bank.h"

namespace lacuna {

enum class FeatureKind { kaldi_fbank, mel };
constexpr std::array<std::string_view, 2> names_of(FeatureKind) { return {"kaldi_fbank", "mel"}; }
enum class FrameWindow { hanning, povey, hamming };
constexpr std::array<std::string_view, 3> names_of(FrameWindow) { return {"hanning", "povey", "hamming"}; }

struct FeatureOptions {
  FeatureKind kind = FeatureKind::kaldi_fbank;
  int64_t mel_bins = 80;
  double frame_ms = 25, hop_ms = 10;
  // Of kaldi_fbank alone.
  FrameWindow window = FrameWindow::hanning;  // SSAST's; Kaldi's own is povey
  double preemphasis = 0.97;
  bool snip_edges = true;  // frames lie inside the recording; else it is mirrored at its ends, and has a frame per hop
};

class Features {
 public:
  virtual ~Features() = default;
  virtual int64_t num_frames(int64_t samples) const = 0;
  // `samples` in [-1, 1], one channel; the result is (num_frames, mel_bins), frame by frame. Pure, for any number of threads.
  virtual std::vector<float> operator()(std::span<const float> samples) const = 0;
  virtual const MelBank& bank() const = 0;
  // The fewest samples that give a frame.
  virtual int64_t least_samples() const = 0;
};

// Throws Error(usage) for options that make no features of recordings with `sample_rate` Hz.
std::unique_ptr<const Features> make_features(const FeatureOptions& options, int64_t sample_rate);

// One line of JSON that tells all options and the sample rate: what a corpus of frames stores.
std::string describe_features(const FeatureOptions& options, int64_t sample_rate);

// Value of the frame's window function at i of `size`.
double window_value(FrameWindow window, int64_t i, int64_t size);

}  // namespace lacuna
