// Which patches of a row are masked, as pure functions of the row's own random numbers (SSAST; Gong et al. 2022, section 2.3, and
// its released code).
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data/patch_grid.h"
#include "data/random.h"

namespace lacuna {

// reference: as the released code. Squares of C x C patches from random starts, C drawn once a row; at the right edge they go on
// in
//   the next line, they grow towards higher bins and later frames only, patch 0 is never masked, and of what is too many the
//   largest numbers are dropped. Edges are masked unequally: the lowest line half as often as the highest.
// fixed: squares are cut at the edges, their starts lie so that every patch is covered as often, and of the last square random
// patches
//   are dropped.
// uniform: patches one by one, every set as likely.
enum class Cluster { reference, fixed, uniform };
constexpr std::array<std::string_view, 3> names_of(Cluster) { return {"reference", "fixed", "uniform"}; }

struct PatchMask {
  std::vector<int32_t> patches;  // `count` of them, ascending
  int64_t starts = 0;            // squares that were drawn
};
// count < patches - 1 of a reference, count <= patches else; 1 <= least <= most, the sides of squares.
PatchMask mask_patches(const PatchGrid& grid, Cluster cluster, int64_t count, int64_t least, int64_t most, Random random);

}  // namespace lacuna
