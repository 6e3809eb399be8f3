// Triangular filters over a power spectrum, evenly spaced on the mel scale, each from the centre of the one before it to that of
// the one after. No normalisation by area.
#pragma once
#include <cstdint>
#include <vector>

#include "data/features/lanes.h"

namespace lacuna {

// In what the sides of a triangle are straight. Kaldi's are in mel, librosa's and torchaudio's MelScale in Hz; both use one mel
// scale (1127 ln(1 + f / 700) = 2595 log10(1 + f / 700)).
enum class MelSlope { mel, hertz };

struct MelBankOptions {
  int64_t filters = 80;
  int64_t length = 512;  // of the Fourier transform
  double sample_rate = 16000;
  double low = 20, high = 8000;  // Hz
  MelSlope slope = MelSlope::mel;
  bool nyquist = false;  // whether the last bin of the spectrum counts; Kaldi leaves it out
};

class MelBank {
 public:
  // Throws Error(usage) where no filter fits between `low` and `high`.
  explicit MelBank(const MelBankOptions& options);
  struct Filter {
    int64_t first = 0;  // bin of the spectrum that the first weight is for
    std::vector<float> weights;
  };
  const std::vector<Filter>& filters() const { return filters_; }
  // Filters that no bin of the spectrum falls into: their output is always the floor.
  std::vector<int64_t> empty() const;
  // `power` of the spectrum to `energies`, one per filter.
  void apply(const std::vector<Lanes>& power, std::vector<Lanes>& energies) const;

 private:
  std::vector<Filter> filters_;
};

}  // namespace lacuna
