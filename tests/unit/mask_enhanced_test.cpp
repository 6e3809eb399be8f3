#include "objectives/mask_enhanced.h"

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/support/rows.h"

namespace lacuna {
namespace {

using namespace testing;

constexpr int64_t kLength = 64, kMask = 1000;

RowContext context(int64_t rows_per_step = 8) {
  return {.length = kLength, .tokenizer_size = kMask, .end_token = 999, .rows_per_step = rows_per_step};
}
std::vector<Sample> rows(int64_t count) { return counting_samples(count, kLength + 1, 990); }

std::set<int32_t> masked_columns(const Batch& batch, int64_t row) {
  std::set<int32_t> columns;
  const auto tokens = row_of<int32_t>(batch.tokens, row);
  for (size_t t = 0; t < tokens.size(); ++t) {
    if (tokens[t] == kMask) columns.insert(static_cast<int32_t>(t));
  }
  return columns;
}

TEST(MaskEnhanced, WithoutMasksItIsNextToken) {
  const auto samples = rows(8);
  const auto masked = MaskEnhanced({.mask_ratio = 0}, context()).prepare(samples, Random(1, 1));
  const auto plain = NextToken({}, context()).prepare(samples, Random(1, 1));
  EXPECT_TRUE(at::equal(masked.tokens, plain.tokens));
  EXPECT_TRUE(at::equal(masked.targets, plain.targets));
  EXPECT_TRUE(at::equal(masked.weights, plain.weights));
}

TEST(MaskEnhanced, MasksAFixedCountOfInputsAndNothingElse) {
  const auto samples = rows(400);
  const auto batch = MaskEnhanced({}, context()).prepare(samples, Random(1, 1));
  const auto clean = MaskEnhanced({}, context()).prepare_clean(samples, Random(1, 1));
  EXPECT_TRUE(at::equal(batch.targets, clean.targets));
  EXPECT_TRUE(
      at::equal(batch.tokens.eq(kMask).logical_or(batch.tokens.eq(clean.tokens)), at::ones_like(batch.tokens, at::kBool)));
  std::vector<int> hits(kLength);
  for (int64_t row = 0; row < batch.rows(); ++row) {
    const auto columns = masked_columns(batch, row);
    EXPECT_EQ(columns.size(), 9u);  // floor(64 * 0.15)
    for (const int32_t c : columns) ++hits[static_cast<size_t>(c)];
  }
  EXPECT_EQ(hits.back(), 0) << "the last input position is never masked";
  const double expected = 400.0 * 9 / (kLength - 1);
  for (int64_t c = 0; c + 1 < kLength; ++c) EXPECT_NEAR(hits[static_cast<size_t>(c)], expected, 5 * std::sqrt(expected)) << c;
}

TEST(MaskEnhanced, TheReleasedPatternHasOneSetOfColumnsAStepAnd51InAll) {
  const MaskEnhanced objective({.pattern = MaskPattern::shared_51}, context(2));
  const auto batch = objective.prepare(rows(408), Random(1, 1));  // 204 steps
  std::set<std::set<int32_t>> patterns;
  for (int64_t row = 0; row < 408; row += 2) {
    EXPECT_EQ(masked_columns(batch, row), masked_columns(batch, row + 1)) << "rows of one step";
    if (row + 102 < 408) {
      EXPECT_EQ(masked_columns(batch, row), masked_columns(batch, row + 102)) << "51 steps later";
    }
    patterns.insert(masked_columns(batch, row));
  }
  EXPECT_EQ(patterns.size(), 51u);
}

}  // namespace
}  // namespace lacuna
