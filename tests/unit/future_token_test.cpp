#include "objectives/future_token.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/rows.h"

namespace lacuna {
namespace {

using namespace testing;

constexpr int64_t kLength = 6;

RowContext context() { return {.length = kLength, .tokenizer_size = 100, .end_token = 99}; }

TEST(FutureToken, TargetsStopAtTheEndOfTheRow) {
  const auto batch = FutureToken({.horizon = 3}, context()).prepare(counting_samples(2, kLength + 1, 90), Random(1, 1));
  const auto targets = row_of<int32_t>(batch.future_targets, 0);
  const auto weights = row_of<float>(batch.future_weights, 0);
  int64_t terms = 0;
  for (int64_t t = 0; t < kLength; ++t) {
    for (int64_t k = 0; k < 3; ++k) {
      const auto at = static_cast<size_t>(t * 3 + k);
      const bool inside = t + k < kLength;
      EXPECT_FLOAT_EQ(weights[at], inside ? static_cast<float>(std::pow(0.8, k)) : 0.0f);
      if (inside) {
        EXPECT_EQ(targets[at], t + k + 1);
      }
      terms += inside;
    }
  }
  EXPECT_EQ(terms, 3 * kLength - 3);  // sum over t of min(N, T - t)
  EXPECT_NEAR(batch.target_count, 2 * (6 + 5 * 0.8 + 4 * 0.64), 1e-5);
}

TEST(FutureToken, ADocumentsEndIsNotLookedAcross) {
  auto c = context();
  c.document_mask = true;
  auto samples = counting_samples(1, kLength + 1, 90);
  samples[0].document_starts = {0, 3};
  const auto batch = FutureToken({.horizon = 3}, c).prepare(samples, Random(1, 1));
  const auto weights = row_of<float>(batch.future_weights, 0);
  EXPECT_GT(weights[2 * 3], 0) << "the next token";
  EXPECT_EQ(weights[2 * 3 + 1], 0) << "slot 2 is its document's last";
  EXPECT_GT(weights[3 * 3 + 2], 0);
}

class FutureNetworks : public ::testing::TestWithParam<FutureKind> {};

// Which of the tokens ahead each offset's state reads: those before it, or none.
TEST_P(FutureNetworks, AnOffsetReadsTheTokensBeforeItAlone) {
  const torch::NoGradGuard no_grad;
  const auto mesh = make_self_mesh();
  ParameterTable table;
  const ModelContext model{.mesh = *mesh, .parameters = table, .vocabulary_size = 100, .max_length = kLength, .seed = 1};
  const auto network = make_future_network(
      GetParam(), model, {.hidden_size = 16, .num_heads = 2, .horizon = 4, .num_layers = 2, .pseudo_length = 3});
  auto parameters = table.list(*network);
  for (auto& p : parameters) {
    p.initial = InitialValues::normal;
    p.deviation = 0.3;
  }
  initialize(parameters, 3, 0, 1);
  const auto states = at::randn({2, kLength, 16}), next = at::randn({2, kLength, 4, 16});
  const auto base = network->forward(states, next);
  ASSERT_EQ(base.sizes(), at::IntArrayRef({2, kLength, 4, 16}));
  const bool reads = GetParam() == FutureKind::decoder || GetParam() == FutureKind::chained || GetParam() == FutureKind::hydra;
  for (int64_t k = 0; k < 4; ++k) {
    auto changed = next.clone();
    changed.select(2, k).add_(1);  // the token at offset k + 1, which offset k + 1 predicts
    const auto now = network->forward(states, changed);
    for (int64_t j = 0; j < 4; ++j) {
      EXPECT_EQ(!at::equal(now.select(2, j), base.select(2, j)), reads && j > k) << "token " << k << ", offset " << j;
    }
  }
  // h_t of later positions is not read.
  auto later = states.clone();
  later.select(1, kLength - 1).add_(1);
  EXPECT_TRUE(at::equal(network->forward(later, next).narrow(1, 0, kLength - 1), base.narrow(1, 0, kLength - 1)));
}

INSTANTIATE_TEST_SUITE_P(All, FutureNetworks,
                         ::testing::Values(FutureKind::decoder, FutureKind::heads, FutureKind::chained, FutureKind::medusa,
                                           FutureKind::hydra),
                         [](const auto& tested) { return std::string(name_of(tested.param)); });

}  // namespace
}  // namespace lacuna
