// How frames are cut into patches: the tokens of networks that read spectrograms and pictures (Gong et al. 2022, "SSAST", section
// 2).
#pragma once
#include <cstdint>

namespace lacuna {

// A row of `frames` frames as patches that do not overlap. Patch r * columns() + c holds bins [r * patch_bins, ...) of frames
// [c * patch_frames, ...), its values ordered by bin, then frame, then channel. Sizes divide; the config is checked for it.
struct PatchGrid {
  int64_t bins = 0, frames = 0, channels = 1;  // of a row
  int64_t patch_bins = 0, patch_frames = 0;

  int64_t rows() const { return bins / patch_bins; }
  int64_t columns() const { return frames / patch_frames; }
  int64_t patches() const { return rows() * columns(); }
  int64_t patch_size() const { return patch_bins * patch_frames * channels; }
};

}  // namespace lacuna
