#include "objectives/patch_masks.h"

#include <algorithm>

#include "objectives/corruption.h"

namespace lacuna {
namespace {

PatchMask reference_mask(const PatchGrid& grid, int64_t count, int64_t side, Random& random) {
  std::vector<bool> masked(static_cast<size_t>(grid.patches()));
  PatchMask mask;
  for (int64_t size = 0; size <= count; ++mask.starts) {
    const int64_t start = random.below(grid.patches());
    for (int64_t i = 0; i < side; ++i) {
      for (int64_t j = 0; j < side; ++j) {
        const int64_t patch = start + grid.columns() * i + j;
        if (patch <= 0 || patch >= grid.patches() || masked[static_cast<size_t>(patch)]) continue;
        masked[static_cast<size_t>(patch)] = true;
        ++size;
      }
    }
  }
  for (int32_t patch = 0; static_cast<int64_t>(mask.patches.size()) < count; ++patch) {
    if (masked[static_cast<size_t>(patch)]) mask.patches.push_back(patch);
  }
  return mask;
}

PatchMask fixed_mask(const PatchGrid& grid, int64_t count, int64_t side, Random& random) {
  std::vector<bool> masked(static_cast<size_t>(grid.patches()));
  PatchMask mask;
  for (; static_cast<int64_t>(mask.patches.size()) < count; ++mask.starts) {
    const int64_t top = random.below(grid.rows() + side - 1) - (side - 1),
                  left = random.below(grid.columns() + side - 1) - (side - 1);
    std::vector<int32_t> fresh;
    for (int64_t r = std::max<int64_t>(top, 0); r < std::min(top + side, grid.rows()); ++r) {
      for (int64_t c = std::max<int64_t>(left, 0); c < std::min(left + side, grid.columns()); ++c) {
        const int64_t patch = r * grid.columns() + c;
        if (!masked[static_cast<size_t>(patch)]) fresh.push_back(static_cast<int32_t>(patch));
      }
    }
    const auto kept = std::min<int64_t>(static_cast<int64_t>(fresh.size()), count - static_cast<int64_t>(mask.patches.size()));
    for (const int32_t i : choose(static_cast<int64_t>(fresh.size()), kept, random.fork(static_cast<uint64_t>(mask.starts)))) {
      masked[static_cast<size_t>(fresh[static_cast<size_t>(i)])] = true;
      mask.patches.push_back(fresh[static_cast<size_t>(i)]);
    }
  }
  std::sort(mask.patches.begin(), mask.patches.end());
  return mask;
}

}  // namespace

PatchMask mask_patches(const PatchGrid& grid, Cluster cluster, int64_t count, int64_t least, int64_t most, Random random) {
  if (cluster == Cluster::uniform) return {.patches = choose(grid.patches(), count, random), .starts = count};
  const int64_t side = least + random.below(most - least + 1);
  return cluster == Cluster::reference ? reference_mask(grid, count, side, random) : fixed_mask(grid, count, side, random);
}

}  // namespace lacuna
