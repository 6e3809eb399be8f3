#include "objectives/prefix_language.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/rows.h"

namespace lacuna {
namespace {

using namespace testing;

constexpr int64_t kLength = 32;

RowContext context(bool encoder) {
  return {.length = kLength, .tokenizer_size = 1000, .end_token = 999, .encoder = encoder, .visibility = Visibility::prefix};
}

TEST(PrefixLanguage, TheLossBeginsWithTheLastVisibleSlot) {
  const auto batch = PrefixLanguage({}, context(false)).prepare(counting_samples(2000, kLength + 1, 990), Random(1, 1));
  std::set<int64_t> splits;
  double share = 0;
  for (int64_t row = 0; row < batch.rows(); ++row) {
    const auto visible = row_of<bool>(batch.bidirectional, row);
    const auto weights = row_of<float>(batch.weights, row);
    const auto split = std::count(visible.begin(), visible.end(), true);
    for (int64_t t = 0; t < kLength; ++t) {
      EXPECT_EQ(visible[static_cast<size_t>(t)], t < split);
      EXPECT_EQ(weights[static_cast<size_t>(t)], t >= split - 1 ? 1 : 0);
    }
    splits.insert(split);
    share += static_cast<double>(kLength - split + 1) / kLength;
  }
  EXPECT_EQ(splits.size(), static_cast<size_t>(kLength - 1));
  EXPECT_EQ(*splits.begin(), 1);
  EXPECT_NEAR(share / 2000, 0.5, 0.05);
  EXPECT_EQ(batch.weights.sum().item<double>(), batch.target_count);
}

// The encoder's part of a segment and its targets, one after the other, are the text; the decoder's slot before a target holds
// the token before it.
TEST(PrefixLanguage, PairsSplitTwoTextsBetweenEncoderAndDecoder) {
  const auto samples = counting_samples(50, 2 * kLength + 2, 990);
  const auto batch = PrefixLanguage({}, context(true)).prepare(samples, Random(1, 1));
  for (int64_t row = 0; row < batch.rows(); ++row) {
    const auto read = row_of<int32_t>(batch.encoder_tokens, row), read_segment = row_of<int32_t>(batch.encoder_segments, row);
    const auto written = row_of<int32_t>(batch.targets, row), segment = row_of<int32_t>(batch.segments, row);
    const auto tokens = row_of<int32_t>(batch.tokens, row);
    const auto& stored = samples[static_cast<size_t>(row)].tokens;
    for (int32_t part = 1; part <= 2; ++part) {
      std::vector<int32_t> text;
      for (size_t i = 0; i < read.size(); ++i) {
        if (read_segment[i] == part) text.push_back(read[i]);
      }
      for (size_t i = 0; i < written.size(); ++i) {
        if (segment[i] != part) continue;
        EXPECT_EQ(tokens[i], text.back());
        text.push_back(written[i]);
      }
      const auto begin = stored.begin() + (part - 1) * (kLength + 1);
      EXPECT_EQ(text, std::vector<int32_t>(begin, begin + kLength));
    }
  }
}

}  // namespace
}  // namespace lacuna
