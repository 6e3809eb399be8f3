// Spectrograms of known class, for tests: every sample is a pure function of (seed, index). A recording is one tone: it begins at
// one of `levels` heights and ends at one of them, straight or as a chirp, and the pair is its class ("0-1": low to high).
#pragma once
#include "data/corpus.h"

namespace lacuna {

struct SyntheticFramesOptions {
  uint64_t seed = 1;
  int64_t size = 256;  // recordings
  int64_t bins = 16;
  int64_t least_frames = 24, most_frames = 40;  // of a recording
  int64_t levels = 2;                           // levels * levels classes
  double noise = 0.3;                           // deviation of the normal noise on values that are 0 beside the tone and 3 on it
};

class SyntheticFrames : public Corpus {
 public:
  explicit SyntheticFrames(const SyntheticFramesOptions& options);  // throws Error(data) for sizes that make no recording
  int64_t size() const override { return options_.size; }
  Sample at(int64_t index) const override;
  const CorpusSpec& spec() const override { return spec_; }

 private:
  SyntheticFramesOptions options_;
  CorpusSpec spec_;
};

}  // namespace lacuna
