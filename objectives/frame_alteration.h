// TERA's three alterations of a recording (Liu et al. 2021, "TERA: self-supervised learning of transformer encoder representation
// for speech", section III-B, and the released code s3prl), as a pure function of the row's own random numbers. Mockingjay (Liu
// et al. 2020) and Audio ALBERT (Chi et al. 2021) have the first alone.
//
// Time: K = round(frames * ratio / width) stretches of `width` frames, which may overlap, from different starts. A recording has one dice:
//   8 of 10 are set to 0, 1 of 10 is replaced by other stretches of the recording, one each, 1 of 10 is left as it is. All are
//   predicted.
// Frequency: W neighbouring bins, W uniform in 0..floor(ratio * bins), are 0 in all frames, and predicted.
// Magnitude: with a probability, normal noise on all values; not predicted for itself.
// With neither of the first two all values are predicted (denoising).
//
// Deviations: the magnitude's dice is thrown for each recording, not for a batch of them, which would depend on the layout. The
// noise's 0.2 is a deviation, as in the code; the paper calls it a variance. Padding is told by the recording's length, not by
// frames that sum to zero.
#pragma once
#include <vector>

#include "data/patch_grid.h"
#include "data/random.h"

namespace lacuna {

struct Alteration {
  double time_ratio = 0.15;
  int64_t time_width = 7;
  double frequency_ratio = 0;
  double noise_probability = 0;
  double noise_deviation = 0.2;
};

// `row`, [frame][bin][channel] of the grid with the recording's `frames` at its beginning, is altered in place. Returns 1 for
// each value that is predicted, 0 for the others and all padding.
std::vector<float> alter_frames(const PatchGrid& grid, int64_t frames, const Alteration& alteration, std::vector<float>& row,
                                const Random& random);

}  // namespace lacuna
