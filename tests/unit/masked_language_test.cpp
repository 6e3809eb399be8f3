#include "objectives/masked_language.h"

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/rows.h"

namespace lacuna {
namespace {

using namespace testing;

constexpr int64_t kLength = 100, kMask = 5000, kEnd = 4999;

RowContext context() { return {.length = kLength, .tokenizer_size = kMask, .end_token = kEnd}; }

TEST(MaskedLanguage, EightyTenTenOfAFixedCount) {
  const auto samples = counting_samples(600, kLength, 4000);
  const auto batch = MaskedLanguage({}, context()).prepare(samples, Random(1, 1));
  int64_t masked = 0, kept = 0, random = 0;
  for (int64_t row = 0; row < batch.rows(); ++row) {
    const auto tokens = row_of<int32_t>(batch.tokens, row), targets = row_of<int32_t>(batch.targets, row);
    const auto weights = row_of<float>(batch.weights, row);
    EXPECT_EQ(targets, samples[static_cast<size_t>(row)].tokens);
    int64_t chosen = 0;
    for (size_t t = 0; t < tokens.size(); ++t) {
      if (weights[t] == 0) {
        EXPECT_EQ(tokens[t], targets[t]) << "a token that was not chosen has changed";
        continue;
      }
      ++chosen;
      ++(tokens[t] == kMask ? masked : tokens[t] == targets[t] ? kept : random);
    }
    EXPECT_EQ(chosen, 15);
  }
  const double all = 600 * 15;
  EXPECT_NEAR(static_cast<double>(masked) / all, 0.8, 5 * std::sqrt(0.16 / all));
  EXPECT_NEAR(static_cast<double>(kept) / all, 0.1, 5 * std::sqrt(0.09 / all));
  EXPECT_NEAR(static_cast<double>(random) / all, 0.1, 5 * std::sqrt(0.09 / all));
}

TEST(MaskedLanguage, ThePredictedSlotsAreTheWeightedOnes) {
  auto samples = counting_samples(3, kLength, 4000);
  std::fill(samples[1].tokens.begin(), samples[1].tokens.end() - 4, static_cast<int32_t>(kEnd));  // four candidates are left
  const auto batch = MaskedLanguage({}, context()).prepare(samples, Random(1, 1));
  const auto weights = batch.weights.gather(1, batch.predicted.to(at::kLong));
  EXPECT_EQ(batch.predicted.size(1), 15);
  EXPECT_EQ(weights.sum().item<double>(), batch.target_count);
  EXPECT_EQ(batch.weights.sum().item<double>(), 15 + 4 + 15);
  for (int64_t row = 0; row < 3; ++row) {
    const auto slots = row_of<int32_t>(batch.predicted, row);
    EXPECT_EQ(std::set<int32_t>(slots.begin(), slots.end()).size(), slots.size()) << "a slot is predicted once";
  }
}

TEST(MaskedLanguage, WholeWordsAreChosenTogether) {
  auto c = context();
  c.begins_word = [](int32_t token) { return token % 4 == 0; };  // words of four pieces
  const auto batch = MaskedLanguage({.whole_words = true}, c).prepare(counting_samples(50, kLength, 4000), Random(1, 1));
  for (int64_t row = 0; row < 50; ++row) {
    const auto targets = row_of<int32_t>(batch.targets, row);
    const auto weights = row_of<float>(batch.weights, row);
    for (size_t t = 1; t < targets.size(); ++t) {
      if (targets[t] % 4 != 0) {
        EXPECT_EQ(weights[t], weights[t - 1]) << "a word is torn at " << t;
      }
    }
  }
}

TEST(MaskedLanguage, ImpossibleOptionsSayWhy) {
  expect_error(ExitCode::usage, "more than 1", [] { MaskedLanguage({.mask_share = 0.9, .random_share = 0.2}, context()); });
  expect_error(ExitCode::usage, "which tokens begin a word", [] { MaskedLanguage({.whole_words = true}, context()); });
}

}  // namespace
}  // namespace lacuna
