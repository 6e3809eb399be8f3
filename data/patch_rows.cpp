#include "data/patch_rows.h"

#include <algorithm>

namespace lacuna {

int64_t frames_in(const PatchGrid& grid, const Sample& sample) {
  return std::min(grid.frames, static_cast<int64_t>(sample.frames.size()) / (grid.bins * grid.channels));
}

std::vector<float> row_of_frames(const PatchGrid& grid, const Sample& sample, double scale) {
  const int64_t size = grid.bins * grid.channels;
  std::vector<float> row(static_cast<size_t>(grid.frames * size));
  const auto factor = static_cast<float>(scale);
  std::transform(sample.frames.begin(), sample.frames.begin() + frames_in(grid, sample) * size, row.begin(),
                 [factor](float value) { return factor * value; });
  return row;
}

void cut_patches(const PatchGrid& grid, const std::vector<float>& row, float* out) {
  const int64_t bins = grid.patch_bins, frames = grid.patch_frames, channels = grid.channels;
  for (int64_t r = 0; r < grid.rows(); ++r) {
    for (int64_t c = 0; c < grid.columns(); ++c) {
      for (int64_t bin = r * bins; bin < (r + 1) * bins; ++bin) {
        for (int64_t frame = c * frames; frame < (c + 1) * frames; ++frame) {
          const float* value = row.data() + (frame * grid.bins + bin) * channels;
          for (int64_t channel = 0; channel < channels; ++channel) *out++ = value[channel];
        }
      }
    }
  }
}

void forget_whole_segments(Batch& batch) {
  const auto* segment = batch.segments.const_data_ptr<int32_t>();
  if (std::find(segment, segment + batch.segments.numel(), 0) == segment + batch.segments.numel()) batch.segments = at::Tensor();
}

void mark_patches(const PatchGrid& grid, int64_t frames, int32_t* out) {
  for (int64_t i = 0; i < grid.patches(); ++i) out[i] = i % grid.columns() * grid.patch_frames < frames ? 1 : 0;
}

}  // namespace lacuna
