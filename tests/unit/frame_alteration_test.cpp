#include "objectives/frame_alteration.h"

#include <gtest/gtest.h>

#include "tests/support/patch_network.h"

namespace lacuna {
namespace {

constexpr int64_t kBins = 80;

PatchGrid grid_of(int64_t frames) { return {.bins = kBins, .frames = frames, .patch_bins = kBins, .patch_frames = 1}; }

struct Altered {
  std::vector<float> clean, row, predicted;
};
Altered alter(int64_t frames, int64_t length, const Alteration& alteration, uint64_t draw) {
  Altered a;
  a.clean = testing::noise_frames(1, frames, kBins, static_cast<int64_t>(draw)).front().frames;
  a.clean.resize(static_cast<size_t>(length * kBins));
  a.row = a.clean;
  a.predicted = alter_frames(grid_of(length), frames, alteration, a.row, Random(5, draw));
  return a;
}

// What was done to the first predicted frame: 'z'eroed, 'r'eplaced, or 'k'ept.
char fate(const Altered& a) {
  for (size_t i = 0; i < a.row.size(); ++i) {
    if (a.predicted[i] > 0) return a.row[i] == a.clean[i] ? 'k' : a.row[i] == 0 ? 'z' : 'r';
  }
  return '-';
}

TEST(FrameAlteration, TheMaskedShareIsTheReleasedCodes) {
  const std::pair<int64_t, double> expected[]{{200, .134}, {500, .145}, {1500, .140}};
  for (const auto& [frames, share] : expected) {
    double predicted = 0;
    for (uint64_t draw = 0; draw < 400; ++draw) {
      std::vector<float> row(static_cast<size_t>(frames * kBins));
      const auto mask = alter_frames(grid_of(frames), frames, {}, row, Random(5, draw));
      for (int64_t t = 0; t < frames; ++t) predicted += static_cast<double>(mask[static_cast<size_t>(t * kBins)]);
    }
    EXPECT_NEAR(predicted / 400 / static_cast<double>(frames), share, 0.01) << frames;
  }
}

TEST(FrameAlteration, TheDiceFallsEightOneOneAndTheMaskDoesNotKnowOfIt) {
  std::map<char, int> fates;
  for (uint64_t draw = 0; draw < 3000; ++draw) {
    const auto a = alter(60, 64, {}, draw);
    ++fates[fate(a)];
    int64_t frames = 0;
    for (size_t i = 0; i < a.row.size(); ++i) {
      if (a.predicted[i] == 0) EXPECT_EQ(a.row[i], a.clean[i]);
      if (i % kBins == 0) frames += a.predicted[i] > 0;
    }
    EXPECT_GE(frames, 7);  // round(60 * .15 / 7) = 1 stretch
    EXPECT_LE(frames, 7);
  }
  EXPECT_NEAR(fates['z'], 2400, 5 * std::sqrt(3000 * .8 * .2));
  EXPECT_NEAR(fates['r'], 300, 5 * std::sqrt(3000 * .1 * .9));
  EXPECT_NEAR(fates['k'], 300, 5 * std::sqrt(3000 * .1 * .9));
  EXPECT_EQ(fates['-'], 0);
}

TEST(FrameAlteration, ReplacedStretchesAreOthersOfTheSameRecording) {
  for (uint64_t draw = 0; draw < 100; ++draw) {
    const auto a = alter(60, 64, {}, draw);
    if (fate(a) != 'r') continue;
    for (int64_t t = 0; t < 60; ++t) {
      if (a.predicted[static_cast<size_t>(t * kBins)] == 0) continue;
      bool found = false;
      for (int64_t other = 0; other < 60; ++other) {
        found = found || std::equal(a.row.begin() + t * kBins, a.row.begin() + (t + 1) * kBins, a.clean.begin() + other * kBins);
      }
      EXPECT_TRUE(found) << t;
    }
  }
}

TEST(FrameAlteration, FrequenciesAreOneBandInAllFramesAndNotInPadding) {
  const Alteration alteration{.time_ratio = 0, .frequency_ratio = 0.2};
  double widths = 0;
  for (uint64_t draw = 0; draw < 2000; ++draw) {
    const auto a = alter(10, 12, alteration, draw);
    int64_t width = 0, first = -1;
    for (int64_t bin = 0; bin < kBins; ++bin) {
      if (a.predicted[static_cast<size_t>(bin)] == 0) continue;
      if (first < 0) first = bin;
      EXPECT_EQ(bin, first + width);  // neighbours
      ++width;
    }
    EXPECT_LE(width, 16);
    widths += static_cast<double>(width);
    for (int64_t t = 0; t < 12; ++t) {
      for (int64_t bin = 0; bin < kBins; ++bin) {
        const auto i = static_cast<size_t>(t * kBins + bin);
        const bool in_band = t < 10 && bin >= first && bin < first + width;
        EXPECT_EQ(a.predicted[i], in_band ? 1 : 0);
        EXPECT_EQ(a.row[i], in_band ? 0 : a.clean[i]);
      }
    }
  }
  EXPECT_NEAR(widths / 2000, 8, 5 * std::sqrt(24.0 / 2000));  // uniform in 0..16
}

TEST(FrameAlteration, NoiseFallsOnSomeRowsWholeAndAsksForNothing) {
  const Alteration alteration{.noise_probability = 0.15};
  int noisy = 0;
  double squares = 0, values = 0;
  for (uint64_t draw = 0; draw < 1000; ++draw) {
    const auto with = alter(60, 64, alteration, draw), without = alter(60, 64, {}, draw);
    EXPECT_EQ(with.predicted, without.predicted);
    if (with.row == without.row) continue;
    ++noisy;
    for (size_t i = 0; i < with.row.size(); ++i) {
      const double noise = static_cast<double>(with.row[i]) - static_cast<double>(without.row[i]);
      if (i >= 60 * kBins) EXPECT_EQ(noise, 0);
      squares += noise * noise;
    }
    values += 60 * kBins;
  }
  EXPECT_NEAR(noisy, 150, 5 * std::sqrt(1000 * .15 * .85));
  EXPECT_NEAR(std::sqrt(squares / values), 0.2, 0.002);
}

TEST(FrameAlteration, WithNothingHiddenEverythingIsPredicted) {
  const auto a = alter(10, 12, {.time_ratio = 0}, 1);
  EXPECT_EQ(a.row, a.clean);
  for (size_t i = 0; i < a.row.size(); ++i) EXPECT_EQ(a.predicted[i], i < 10 * kBins ? 1 : 0);
}

TEST(FrameAlteration, RecordingsTooShortForAStretchAreLeftAlone) {
  const auto a = alter(7, 12, {}, 1);
  EXPECT_EQ(a.row, a.clean);
  EXPECT_EQ(a.predicted, std::vector<float>(a.row.size()));
}

}  // namespace
}  // namespace lacuna
