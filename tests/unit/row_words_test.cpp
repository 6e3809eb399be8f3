#include "data/row_words.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <string>

#include "data/random.h"

namespace lacuna {
namespace {

at::Tensor row(const std::string& text) {
  std::vector<int32_t> tokens;
  for (const char byte : text) tokens.push_back(static_cast<unsigned char>(byte));
  return at::tensor(tokens, at::kInt).unsqueeze(0);
}

TEST(RowWords, NumbersTheWordsOfEachRow) {
  const WordLimits limits{.row_length = 13, .max_words = 8, .max_bytes = 32};
  EXPECT_TRUE(at::equal(row_words(row("Hello, world!"), limits),
                        at::tensor({0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1}, at::kInt).unsqueeze(0)));
  const auto marked = at::tensor({'a', 256, 256, 'b', 257, 'c', ' ', 257}, at::kInt).unsqueeze(0);
  EXPECT_TRUE(at::equal(row_words(marked, limits), at::tensor({0, 1, 2, 3, 3, 3, 4, 4}, at::kInt).unsqueeze(0)));
  EXPECT_EQ(row_words(row("").view({1, 0}), limits).numel(), 0);
}

// However short or long the words of a text are, they fit, none is longer than allowed, and none is left out.
TEST(RowWords, EveryRowFitsItsSlots) {
  Random random(3, 0);
  const std::string characters = "\n\n\n=abc  .\xe4\xbd\xa0\xf0\x9f\x91\x8d\xff";
  for (const auto& limits : {WordLimits{.row_length = 64, .max_words = 16, .max_bytes = 32},
                             WordLimits{.row_length = 61, .max_words = 13, .max_bytes = 8},
                             WordLimits{.row_length = 200, .max_words = 10, .max_bytes = 23}}) {
    ASSERT_TRUE(limits.suffice());
    for (int64_t kind = 0; kind < 60; ++kind) {
      std::string text;
      while (static_cast<int64_t>(text.size()) < limits.row_length) {
        text.push_back(kind < 4 ? "\nx\xf0="[kind]
                                : characters[static_cast<size_t>(random.below(static_cast<int64_t>(characters.size())))]);
      }
      const auto words = row_words(row(text), limits);
      const auto* word = words.const_data_ptr<int32_t>();
      EXPECT_EQ(word[0], 0);
      int64_t length = 1;
      for (int64_t t = 1; t < limits.row_length; ++t) {
        ASSERT_TRUE(word[t] == word[t - 1] || word[t] == word[t - 1] + 1);
        length = word[t] == word[t - 1] ? length + 1 : 1;
        ASSERT_LE(length, limits.max_bytes);
      }
      EXPECT_LT(word[limits.row_length - 1], limits.max_words);
    }
  }
}

TEST(RowWords, SlotsAreUsedWhileTheyLast) {
  const WordLimits limits{.row_length = 40, .max_words = 10, .max_bytes = 23};
  const auto words = row_words(row(std::string(40, '\n')), limits);
  const auto* word = words.const_data_ptr<int32_t>();
  for (int64_t t = 0; t < 8; ++t) EXPECT_EQ(word[t], t);  // then the last two slots are kept for 32 bytes
  EXPECT_EQ(word[39], 9);
}

TEST(RowWords, APrefixIsNumberedAsInTheWhole) {
  const WordLimits limits{.row_length = 64, .max_words = 12, .max_bytes = 16};
  std::string text = "to be, or not to be:\nthat's the \xe2\x80\x9cquestion\xe2\x80\x9d \xe4\xbd\xa0\xe5\xa5\xbd == ok?";
  text.resize(64, '.');
  const auto whole = row_words(row(text), limits);
  for (int64_t n = 1; n <= 64; ++n) {
    EXPECT_TRUE(at::equal(row_words(row(text.substr(0, static_cast<size_t>(n))), limits), whole.narrow(1, 0, n))) << n;
  }
}

TEST(RowWords, TooFewSlotsAreTold) {
  EXPECT_FALSE((WordLimits{.row_length = 100, .max_words = 4, .max_bytes = 23}).suffice());
  EXPECT_TRUE((WordLimits{.row_length = 100, .max_words = 5, .max_bytes = 23}).suffice());
  EXPECT_FALSE((WordLimits{.row_length = 10, .max_words = 10, .max_bytes = 7}).suffice());
}

}  // namespace
}  // namespace lacuna
