#include "objectives/span_corruption.h"

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/network.h"
#include "tests/support/rows.h"
#include "trainer/kernels/linear_cross_entropy.h"

namespace lacuna {
namespace {

using namespace testing;

RowContext context(int64_t length, bool encoder, Visibility visibility = Visibility::causal) {
  return {.length = length, .tokenizer_size = 2000, .end_token = 1999, .encoder = encoder, .visibility = visibility};
}

TEST(SpanCorruption, ADecoderReadsWhatTheEncoderWouldAndWritesTheSameTargets) {
  const SpanCorruption with_encoder({}, context(512, true)), causal({}, context(626, false));
  const auto samples = counting_samples(4, with_encoder.sample_length(), 1900);
  ASSERT_EQ(causal.sample_length(), with_encoder.sample_length());
  const auto pairs = with_encoder.prepare(samples, Random(1, 1)), rows = causal.prepare(samples, Random(1, 1));
  EXPECT_EQ(pairs.encoder_tokens.sizes(), at::IntArrayRef({4, 512}));
  EXPECT_EQ(pairs.targets.sizes(), at::IntArrayRef({4, 114}));
  EXPECT_TRUE(at::equal(rows.targets.narrow(1, 0, 512), pairs.encoder_tokens));
  EXPECT_TRUE(at::equal(rows.targets.narrow(1, 512, 114), pairs.targets));
  EXPECT_TRUE(at::equal(rows.tokens.narrow(1, 1, 625), rows.targets.narrow(1, 0, 625))) << "shifted once";
  EXPECT_TRUE(rows.tokens.select(1, 0).eq(2000).all().item<bool>()) << "from the pad token";
  EXPECT_TRUE(pairs.tokens.select(1, 0).eq(2000).all().item<bool>());
  EXPECT_EQ(rows.weights.narrow(1, 0, 512).sum().item<double>(), 0);
  EXPECT_EQ(rows.weights.sum().item<double>(), 4 * 114);
  EXPECT_EQ(rows.target_count, pairs.target_count);
}

TEST(SpanCorruption, ThePrefixFormDiffersInWhatIsVisibleAlone) {
  const SpanCorruption causal({}, context(626, false)), prefix({}, context(626, false, Visibility::prefix));
  const auto samples = counting_samples(3, causal.sample_length(), 1900);
  const auto a = causal.prepare(samples, Random(1, 1)), b = prefix.prepare(samples, Random(1, 1));
  EXPECT_TRUE(at::equal(a.tokens, b.tokens));
  EXPECT_TRUE(at::equal(a.targets, b.targets));
  EXPECT_TRUE(at::equal(a.weights, b.weights));
  EXPECT_FALSE(a.bidirectional.defined());
  const auto visible = row_of<bool>(b.bidirectional, 0);
  EXPECT_EQ(std::count(visible.begin(), visible.end(), true), 513);  // the pad token's slot and 512 inputs
  EXPECT_TRUE(visible[512] && !visible[513]);
}

TEST(SpanCorruption, CountsTheHeadAtTheTargetsAlone) {
  const auto mesh = make_self_mesh();
  const auto network = make_network(gpt2_shape(), *mesh, 2101, 626);
  const SpanCorruption causal({}, context(626, false));
  const double head = 32.0 * static_cast<double>(padded_vocabulary(2101));
  EXPECT_NEAR(causal.flops_per_token(*network->decoder, 626), -6 * head * 512 / 626, 1);
}

TEST(SpanCorruption, TooShortRowsAndTooFewSentinelsAreRefused) {
  expect_error(ExitCode::usage, "use 8 or more", [] { SpanCorruption({}, context(3, false)); });
  expect_error(ExitCode::usage, "raise it to that", [] { SpanCorruption({}, context(2048, true)); });
}

}  // namespace
}  // namespace lacuna
