// The figures of the released procedure were counted by a program of its own (specs of the masking, SSAST).
#include "objectives/patch_masks.h"

#include <gtest/gtest.h>

#include <set>

namespace lacuna {
namespace {

constexpr PatchGrid kSsast{.bins = 128, .frames = 1024, .patch_bins = 16, .patch_frames = 16};  // 8 x 64

struct Statistics {
  double lowest = 0, highest = 0;  // shares of the lowest and the highest line that are masked
  double neighbour = 0;            // P(right neighbour masked | masked)
  double starts = 0;
  std::vector<double> covered;  // by patch
};

Statistics statistics(const PatchGrid& grid, Cluster cluster, int64_t count, int64_t least, int64_t most, int64_t draws) {
  Statistics s;
  s.covered.resize(static_cast<size_t>(grid.patches()));
  double pairs = 0, both = 0;
  for (int64_t draw = 0; draw < draws; ++draw) {
    const auto mask = mask_patches(grid, cluster, count, least, most, Random(3, static_cast<uint64_t>(draw)));
    std::vector<bool> masked(static_cast<size_t>(grid.patches()));
    for (const int32_t patch : mask.patches) masked[static_cast<size_t>(patch)] = true;
    for (int64_t i = 0; i < grid.patches(); ++i) {
      if (!masked[static_cast<size_t>(i)]) continue;
      s.covered[static_cast<size_t>(i)] += 1.0 / static_cast<double>(draws);
      if (i % grid.columns() + 1 == grid.columns()) continue;
      ++pairs, both += masked[static_cast<size_t>(i + 1)];
    }
    s.starts += static_cast<double>(mask.starts) / static_cast<double>(draws);
  }
  for (int64_t c = 0; c < grid.columns(); ++c) {
    s.lowest += s.covered[static_cast<size_t>(c)] / static_cast<double>(grid.columns());
    s.highest += s.covered[static_cast<size_t>(grid.patches() - 1 - c)] / static_cast<double>(grid.columns());
  }
  s.neighbour = both / pairs;
  return s;
}

TEST(PatchMasks, ExactlyTheAskedPatchesAreMaskedEachOnce) {
  for (const auto cluster : {Cluster::reference, Cluster::fixed, Cluster::uniform}) {
    for (const int64_t count : {1, 100, 400, 510}) {
      for (uint64_t draw = 0; draw < 20; ++draw) {
        const auto mask = mask_patches(kSsast, cluster, count, 3, 5, Random(1, draw)).patches;
        EXPECT_EQ(std::set(mask.begin(), mask.end()).size(), static_cast<size_t>(count));
        EXPECT_TRUE(std::is_sorted(mask.begin(), mask.end()));
        EXPECT_GE(mask.front(), 0);
        EXPECT_LT(mask.back(), 512);
        if (cluster == Cluster::reference) EXPECT_NE(mask.front(), 0);
      }
    }
  }
  EXPECT_EQ(mask_patches(kSsast, Cluster::fixed, 512, 3, 5, Random(1, 1)).patches.size(), 512U);
}

TEST(PatchMasks, TheSameNumbersGiveTheSameMask) {
  for (const auto cluster : {Cluster::reference, Cluster::fixed, Cluster::uniform}) {
    const auto mask = [&](uint64_t row) { return mask_patches(kSsast, cluster, 250, 3, 5, Random(1, row)).patches; };
    EXPECT_EQ(mask(5), mask(5));
    EXPECT_NE(mask(5), mask(6));
  }
}

TEST(PatchMasks, TheReferencesEdgesAreThoseOfTheReleasedCode) {
  const std::tuple<int64_t, double, double, double, double> expected[]{
      {400, .418, .816, .921, 74.9}, {250, .201, .498, .838, 31.6}, {100, .070, .147, .771, 10.3}};
  for (const auto& [count, lowest, highest, neighbour, starts] : expected) {
    const auto s = statistics(kSsast, Cluster::reference, count, 3, 5, 4000);
    EXPECT_NEAR(s.lowest, lowest, 0.01) << count;
    EXPECT_NEAR(s.highest, highest, 0.01) << count;
    EXPECT_NEAR(s.neighbour, neighbour, 0.006) << count;
    EXPECT_NEAR(s.starts, starts, 0.025 * starts) << count;
  }
}

TEST(PatchMasks, FixedSquaresCoverEveryPatchAlikeAndStillCluster) {
  for (const int64_t count : {100, 400}) {
    const auto s = statistics(kSsast, Cluster::fixed, count, 3, 5, 4000);
    const double share = static_cast<double>(count) / 512;
    for (const double covered : s.covered) EXPECT_NEAR(covered, share, 0.05);
    EXPECT_NEAR(s.lowest, s.highest, 0.01);
    EXPECT_GT(s.neighbour, share + 0.1);
  }
}

TEST(PatchMasks, UniformOnesDoNotCluster) {
  const auto s = statistics(kSsast, Cluster::uniform, 250, 3, 5, 1000);
  EXPECT_NEAR(s.neighbour, 249.0 / 511, 0.005);
}

}  // namespace
}  // namespace lacuna
