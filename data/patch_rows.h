// Samples of frames as rows of patches.
#pragma once
#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "data/batch.h"
#include "data/patch_grid.h"

namespace lacuna {

// Frames of the sample that lie in a row of the grid; what is behind them is padding.
int64_t frames_in(const PatchGrid& grid, const Sample& sample);

// The values of a whole row, [frame][bin][channel], times `scale`; padding is 0, the mean of normalised values.
std::vector<float> row_of_frames(const PatchGrid& grid, const Sample& sample, double scale);

// Such a row as patches (T, P) in the grid's order, into `out`.
void cut_patches(const PatchGrid& grid, const std::vector<float>& row, float* out);

// For each of T patches whether its first frame is one of `frames`: 1, else 0, which is padding.
void mark_patches(const PatchGrid& grid, int64_t frames, int32_t* out);

// Leaves Batch::segments out where no row has padding: networks read such rows faster.
void forget_whole_segments(Batch& batch);

}  // namespace lacuna
