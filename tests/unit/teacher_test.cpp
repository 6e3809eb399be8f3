#include "objectives/teacher.h"

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "objectives/prefix_language.h"
#include "tests/support/rows.h"

namespace lacuna {
namespace {

using namespace testing;

constexpr int64_t kLength = 16;

RowContext context(bool encoder) {
  return {.length = kLength, .tokenizer_size = 1000, .end_token = 999, .encoder = encoder, .visibility = Visibility::prefix};
}

// Every decoder slot stands where the text has its token, behind all that the text has before it in its segment.
void expect_slots_in_their_text(const Batch& batch) {
  const auto joined = joined_text(batch);
  ASSERT_EQ(joined.text.length(), 2 * kLength);
  for (int64_t row = 0; row < batch.rows(); ++row) {
    const auto read = row_of<int32_t>(batch.encoder_tokens, row), read_segment = row_of<int32_t>(batch.encoder_segments, row);
    const auto written = row_of<int32_t>(batch.targets, row), segment = row_of<int32_t>(batch.segments, row);
    const auto text = row_of<int32_t>(joined.text.tokens, row), text_segment = row_of<int32_t>(joined.text.segments, row);
    const auto position = row_of<int32_t>(joined.text.positions, row);
    const auto places = row_of<int64_t>(joined.places, row);
    for (size_t t = 0; t < written.size(); ++t) {
      if (segment[t] == 0) continue;
      std::vector<int32_t> before, placed, counted;
      for (size_t s = 0; s < read.size(); ++s) {
        if (read_segment[s] == segment[t]) before.push_back(read[s]);
      }
      for (size_t u = 0; u < t; ++u) {
        if (segment[u] == segment[t]) before.push_back(written[u]);
      }
      const auto place = static_cast<size_t>(places[t]);
      for (size_t p = 0; p <= place; ++p) {
        if (text_segment[p] != segment[t]) continue;
        placed.push_back(text[p]);
        counted.push_back(position[p]);
      }
      EXPECT_EQ(placed, before) << "row " << row << ", slot " << t;
      for (size_t i = 0; i < counted.size(); ++i) EXPECT_EQ(counted[i], static_cast<int32_t>(i));
    }
  }
}

TEST(Teacher, ReadsPairsOfTextsAsTheyWereStored) {
  expect_slots_in_their_text(PrefixLanguage({}, context(true)).prepare(counting_samples(20, 2 * kLength + 2, 990), Random(1, 1)));
}

TEST(Teacher, ReadsPromptsAndResponsesInTurn) {
  auto samples = counting_samples(3, kLength + 1, 990);
  for (auto& sample : samples) {
    sample.document_starts = {0, 9, 15};  // the last has no response yet
    sample.responses.assign(sample.tokens.size(), 0);
    for (const size_t t : {4, 5, 6, 7, 8, 13, 14}) sample.responses[t] = 1;
  }
  expect_slots_in_their_text(PrefixLanguage({.split = PrefixSplit::response}, context(true)).prepare(samples, Random(1, 1)));
}

TEST(Teacher, OfADecoderReadsItsRows) {
  const auto batch = PrefixLanguage({}, context(false)).prepare(counting_samples(3, kLength + 1, 990), Random(1, 1));
  const auto joined = joined_text(batch);
  EXPECT_TRUE(at::equal(joined.text.tokens, batch.tokens));
  EXPECT_EQ(joined.places[2][5].item<int64_t>(), 5);
  EXPECT_FALSE(joined.text.bidirectional.defined());
}

}  // namespace
}  // namespace lacuna
