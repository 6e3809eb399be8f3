#include "data/synthetic_corpus.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "tests/support/expect_error.h"

namespace lacuna {
namespace {

using testing::expect_error;

TEST(SyntheticCorpus, SamplesAreAFunctionOfKindSeedAndIndex) {
  for (const auto kind : {SyntheticKind::uniform, SyntheticKind::copy, SyntheticKind::periodic, SyntheticKind::bigram}) {
    const SyntheticCorpus corpus({.kind = kind}), again({.kind = kind}), other({.kind = kind, .seed = 2});
    const Sample sample = corpus.at(17);
    EXPECT_EQ(sample.tokens, again.at(17).tokens);
    EXPECT_NE(sample.tokens, other.at(17).tokens);
    EXPECT_NE(sample.tokens, corpus.at(18).tokens);
    EXPECT_NE(corpus.spec().content_hash, other.spec().content_hash);
    EXPECT_EQ(sample.tokens.size(), 65u);
    EXPECT_EQ(sample.document_starts, std::vector<int32_t>{0});
    for (const int32_t token : sample.tokens) EXPECT_TRUE(token >= 0 && token < 64);
    EXPECT_THROW(corpus.at(corpus.size()), Error);
  }
}

TEST(SyntheticCorpus, CopyAndPeriodicRepeat) {
  const Sample copy = SyntheticCorpus({.kind = SyntheticKind::copy, .window = 64}).at(3);
  for (size_t t = 0; t < 32; ++t) EXPECT_EQ(copy.tokens[t], copy.tokens[t + 32]);
  const Sample periodic = SyntheticCorpus({.kind = SyntheticKind::periodic, .period = 5}).at(3);
  for (size_t t = 5; t < 65; ++t) EXPECT_EQ(periodic.tokens[t], periodic.tokens[t - 5]);
}

TEST(SyntheticCorpus, EntropyIsThatOfTheConstruction) {
  EXPECT_DOUBLE_EQ(SyntheticCorpus({.kind = SyntheticKind::uniform}).entropy(), std::log(64));
  EXPECT_DOUBLE_EQ(SyntheticCorpus({.kind = SyntheticKind::copy, .window = 65}).entropy(), 31.0 / 64 * std::log(64));
  EXPECT_DOUBLE_EQ(SyntheticCorpus({.kind = SyntheticKind::periodic, .window = 65, .period = 9}).entropy(), std::log(64) / 8);
  EXPECT_DOUBLE_EQ(SyntheticCorpus({.certainty = 0}).entropy(), std::log(64));
  EXPECT_DOUBLE_EQ(SyntheticCorpus({.certainty = 1}).entropy(), 0);
}

// The entropy of counted pairs, from many samples.
TEST(SyntheticCorpus, BigramPairsHaveTheirEntropy) {
  const SyntheticCorpus corpus({.vocabulary_size = 12, .window = 200, .size = 1000, .certainty = 0.7});
  std::map<std::pair<int32_t, int32_t>, double> pairs;
  std::map<int32_t, double> firsts;
  double total = 0;
  for (int64_t i = 0; i < corpus.size(); ++i) {
    const auto tokens = corpus.at(i).tokens;
    for (size_t t = 1; t < tokens.size(); ++t) {
      ++pairs[{tokens[t - 1], tokens[t]}];
      ++firsts[tokens[t - 1]];
      ++total;
    }
  }
  double measured = 0;
  for (const auto& [pair, count] : pairs) measured -= count / total * std::log(count / firsts[pair.first]);
  EXPECT_NEAR(measured, corpus.entropy(), 0.01);
  for (const auto& [first, count] : firsts) EXPECT_NEAR(count / total, 1.0 / 12, 0.005) << first;
}

TEST(SyntheticCorpus, RefusesSizesBelowOne) {
  expect_error(ExitCode::data, "at least 1", [] { SyntheticCorpus({.window = 0}); });
  expect_error(ExitCode::data, "between 0 and 1", [] { SyntheticCorpus({.certainty = 1.5}); });
}

}  // namespace
}  // namespace lacuna
