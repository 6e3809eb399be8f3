// The clauses of contract.h that patches fulfil in another way than tokens.
#pragma once
#include "data/patch_grid.h"
#include "tests/support/contract.h"

namespace lacuna::testing {

// As many patches as contract.h's rows have tokens: one a frame.
constexpr PatchGrid kGrid{.bins = 6, .frames = kLength, .channels = 1, .patch_bins = 6, .patch_frames = 1};

// Noise, some frames shorter than a row, or as long.
Sample sample_of_frames(int64_t row, bool whole);

// Padding, masked patches and patches that are no keys reach nothing, the last but themselves; others reach all.
void a_patch_reaches_exactly_the_positions_that_may_see_it(ContractRun& run);
// Whatever a sample has at a masked patch, no state of the row changes.
void what_is_masked_is_hidden_from_every_state(ContractRun& run);

}  // namespace lacuna::testing
