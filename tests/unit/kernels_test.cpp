// Each kernel against a plain composition of ATen operations, or against what its paper promises.
#include <ATen/ops/arange.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/random.h"
#include "tests/support/network.h"
#include "trainer/kernels/adamw.h"
#include "trainer/kernels/dropout.h"
#include "trainer/kernels/embedding.h"
#include "trainer/kernels/linear.h"
#include "trainer/kernels/linear_cross_entropy.h"
#include "trainer/kernels/rotary.h"
#include "trainer/parallel/mesh.h"

namespace lacuna {
namespace {

using testing::relative_error;

// A leaf with its own gradient; `kept` sets the gradient to zeros, so that kernels add to it in place.
at::Tensor leaf(const at::Tensor& values, bool kept = false) {
  auto copy = values.detach().clone().set_requires_grad(true);
  if (kept) copy.mutable_grad() = at::zeros_like(copy);
  return copy;
}

struct HeadCase {
  int64_t rows, vocabulary, table, width;  // the table has `table` rows, those from `vocabulary` on being padding
};

class LinearCrossEntropy : public ::testing::TestWithParam<HeadCase> {
 protected:
  void SetUp() override {
    const auto& c = GetParam();
    torch::NoGradGuard no_grad;
    states = at::randn({c.rows, c.width});
    weight = at::randn({c.table, c.width});
    targets = at::randint(c.vocabulary, {c.rows}, at::kInt);
    weights = at::randn({c.rows}).abs();
    if (c.rows > 2) weights[1] = 0;
  }
  std::unique_ptr<Mesh> mesh = make_self_mesh();
  at::Tensor states, weight, targets, weights;
};

TEST_P(LinearCrossEntropy, EqualsItsReference) {
  const int64_t vocabulary = GetParam().vocabulary;
  const auto x0 = leaf(states), w0 = leaf(weight);
  const auto expected = linear_cross_entropy_reference(x0, w0, targets, weights, vocabulary, mesh->tensor());
  (expected * 0.37).backward();
  for (const bool kept : {false, true}) {
    const auto x = leaf(states), w = leaf(weight, kept);
    const auto loss = linear_cross_entropy(x, w, targets, weights, vocabulary, mesh->tensor());
    EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-5 * std::abs(expected.item<double>()) + 1e-6);
    (loss * 0.37).backward();
    EXPECT_LT(relative_error(x.grad(), x0.grad()), 1e-5) << "states, kept = " << kept;
    EXPECT_LT(relative_error(w.grad(), w0.grad()), 1e-5) << "weight, kept = " << kept;
    if (GetParam().table > vocabulary) {
      EXPECT_EQ(w.grad().narrow(0, vocabulary, GetParam().table - vocabulary).abs().max().item<float>(), 0) << "padding";
    }
  }
  const torch::NoGradGuard no_grad;
  EXPECT_NEAR(linear_cross_entropy(states, weight, targets, weights, vocabulary, mesh->tensor()).item<double>(),
              expected.item<double>(), 1e-5 * std::abs(expected.item<double>()) + 1e-6);
}

// Around the vector width, and rows on both sides of a chunk's 2^21 logits: 2048 rows of a table of 1024.
INSTANTIATE_TEST_SUITE_P(Sizes, LinearCrossEntropy,
                         ::testing::Values(HeadCase{5, 1, 1, 8}, HeadCase{1, 31, 31, 8}, HeadCase{7, 32, 32, 8},
                                           HeadCase{7, 33, 33, 8}, HeadCase{7, 31, 128, 16}, HeadCase{7, 127, 128, 16},
                                           HeadCase{3, 128, 128, 16}, HeadCase{9, 1023, 1024, 8}, HeadCase{2047, 1023, 1024, 4},
                                           HeadCase{2048, 1023, 1024, 4}, HeadCase{2049, 1023, 1024, 4},
                                           HeadCase{4097, 1024, 1024, 4}),
                         [](const auto& test) {
                           const auto& c = test.param;
                           return std::to_string(c.rows) + "x" + std::to_string(c.vocabulary) + "of" + std::to_string(c.table);
                         });

TEST_P(LinearCrossEntropy, ZLossPullsLogitsAndIsNotTold) {
  const int64_t vocabulary = GetParam().vocabulary;
  const double z_loss = 0.03;
  const auto x0 = leaf(states), w0 = leaf(weight), x = leaf(states), w = leaf(weight);
  const auto z = at::linear(x0, w0).narrow(1, 0, vocabulary).logsumexp(1);
  const auto plain = linear_cross_entropy_reference(x0, w0, targets, weights, vocabulary, mesh->tensor());
  (plain + (weights * z_loss * z.square()).sum()).backward();
  const auto loss = linear_cross_entropy(x, w, targets, weights, vocabulary, mesh->tensor(), z_loss);
  loss.backward();
  EXPECT_NEAR(loss.item<double>(), plain.item<double>(), 1e-5 * std::abs(plain.item<double>()) + 1e-6);
  EXPECT_LT(relative_error(x.grad(), x0.grad()), 2e-5);
  EXPECT_LT(relative_error(w.grad(), w0.grad()), 2e-5);

  const auto x1 = leaf(states), w1 = leaf(weight);
  const auto composed = linear_cross_entropy_reference(x1, w1, targets, weights, vocabulary, mesh->tensor(), z_loss);
  composed.backward();
  EXPECT_NEAR(composed.item<double>(), plain.item<double>(), 1e-5 * std::abs(plain.item<double>()) + 1e-6);
  EXPECT_LT(relative_error(x1.grad(), x0.grad()), 2e-5);
}

TEST(LinearCrossEntropyValues, LargeLogitsNeitherOverflowNorVanish) {
  const auto mesh = make_self_mesh();
  const auto weight = at::tensor({1000.0f, -1000.0f, 999.0f}).unsqueeze(1);
  const auto loss = [&](int target) {
    return linear_cross_entropy(at::ones({1, 1}), weight, at::tensor({target}, at::kInt), at::ones({1}), 3, mesh->tensor())
        .item<double>();
  };
  const double rest = std::log1p(std::exp(-1.0));
  EXPECT_NEAR(loss(0), rest, 1e-6);
  EXPECT_NEAR(loss(1), 2000 + rest, 1e-3);
  EXPECT_NEAR(loss(2), 1 + rest, 1e-6);
}

// A NaN logit must reach the loss wherever it stands in the row, or a diverged run would go on unseen.
TEST(LinearCrossEntropyValues, ANanAnywhereInARowReachesTheLoss) {
  const auto mesh = make_self_mesh();
  constexpr int64_t kColumns = 67;
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const int64_t column : {0, 1, 7, 8, 15, 16, 31, 32, 33, 63, 64, 66}) {
      auto weight = at::randn({kColumns, 4}).abs();
      weight[column][2] = bad;
      const auto states = leaf(at::ones({3, 4}));
      const auto loss =
          linear_cross_entropy(states, leaf(weight), at::tensor({0, 16, 66}, at::kInt), at::ones({3}), kColumns, mesh->tensor());
      EXPECT_FALSE(std::isfinite(loss.item<double>())) << "column " << column;
    }
  }
}

// Rows without weight, such as padding, must not poison the loss even where their states are not finite.
TEST(LinearCrossEntropyValues, RowsOfWeightZeroDoNotCount) {
  const auto mesh = make_self_mesh();
  const auto base = at::randn({4, 8});
  const auto targets = at::tensor({1, 2, 3, 4}, at::kInt);
  const auto weights = at::tensor({1.0f, 0.0f, 2.0f, 0.0f});
  const auto weight = at::randn({16, 8});
  const auto run = [&](const at::Tensor& states) {
    const auto x = leaf(states), w = leaf(weight, true);
    const auto loss = linear_cross_entropy(x, w, targets, weights, 16, mesh->tensor());
    loss.backward();
    return std::tuple(loss.item<double>(), x.grad(), w.grad());
  };
  const auto [loss, dx, dw] = run(base);
  EXPECT_EQ(dx[1].abs().max().item<float>(), 0);
  auto other = base.clone();
  other[1] = at::randn({8});
  const auto [other_loss, other_dx, other_dw] = run(other);
  EXPECT_EQ(other_loss, loss);
  EXPECT_TRUE(at::equal(other_dx, dx));
  EXPECT_TRUE(at::equal(other_dw, dw));

  const torch::NoGradGuard no_grad;
  other[1].fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(linear_cross_entropy(other, weight, targets, weights, 16, mesh->tensor()).item<double>(), loss);
}

TEST(Linear, AddsToTheGradientInPlaceWhatAtenWouldGive) {
  const auto x_values = at::randn({3, 5, 8}), dy = at::randn({3, 5, 6}), weight = at::randn({6, 8}), bias = at::randn({6});
  for (const bool biased : {false, true}) {
    const auto x0 = leaf(x_values), w0 = leaf(weight), b0 = leaf(bias);
    const auto y0 = at::linear(x0, w0, biased ? std::optional(b0) : std::nullopt);
    y0.backward(dy);

    const auto x = leaf(x_values), w = leaf(weight, true), b = leaf(bias, true);
    const void* buffer = w.grad().data_ptr();
    for (int pass = 1; pass <= 2; ++pass) {  // gradients accumulate over micro-batches
      const auto y = lacuna::linear(x, w, biased ? b : at::Tensor());
      EXPECT_LT(relative_error(y, y0), 1e-6);
      y.backward(dy);
      EXPECT_LT(relative_error(w.grad(), w0.grad() * pass), 1e-6);
      EXPECT_LT(relative_error(x.grad(), x0.grad() * pass), 1e-6);
      if (biased) {
        EXPECT_LT(relative_error(b.grad(), b0.grad() * pass), 1e-6);
      }
    }
    EXPECT_EQ(w.grad().data_ptr(), buffer) << "the flat buffer was left";
  }
}

TEST(Embedding, EqualsAtenAndAccumulatesRepeatedIds) {
  const auto ids = at::tensor({3, 0, 3, 6, 3, 1}, at::kInt).view({2, 3});
  const auto table = at::randn({7, 5}), dy = at::randn({2, 3, 5});
  const auto w0 = leaf(table);
  const auto y0 = at::embedding(w0, ids);
  y0.backward(dy);
  for (const bool kept : {false, true}) {
    const auto w = leaf(table, kept);
    const auto y = lacuna::embedding(ids, w);
    EXPECT_TRUE(at::equal(y, y0));
    y.backward(dy);
    EXPECT_LT(relative_error(w.grad(), w0.grad()), 1e-6) << "kept = " << kept;
  }
}

TEST(Embedding, IdsOfOtherRanksGiveZerosAndNoGradient) {
  const auto ids = at::tensor({3, 4, 6, 7, 0}, at::kInt);
  const auto w = leaf(at::randn({3, 2}), true);  // rows 4, 5, 6 of the whole table
  const auto y = lacuna::embedding(ids, w, 4);
  EXPECT_EQ(y.index_select(0, at::tensor({0, 3, 4}, at::kLong)).abs().max().item<float>(), 0);
  EXPECT_TRUE(at::equal(y[1], w[0]));
  EXPECT_TRUE(at::equal(y[2], w[2]));
  y.backward(at::ones({5, 2}));
  EXPECT_TRUE(at::equal(w.grad(), at::tensor({1.0f, 0.0f, 1.0f}).unsqueeze(1).expand({3, 2})));
}

TEST(Rotary, ScoresDependOnDistanceAlone) {
  const auto q = at::randn({1, 2, 1, 8}), k = at::randn({1, 2, 1, 8});
  const auto turned = [](const at::Tensor& x, int64_t position) {
    return rotary(x, rotary_angles(at::full({1}, position, at::kInt), 8, 10000.0));
  };
  const auto score = [&](int64_t i, int64_t j) { return (turned(q, i) * turned(k, j)).sum(-1); };
  EXPECT_LT(relative_error(turned(q, 0), q), 1e-7) << "position 0 turns nothing";
  for (const int64_t shift : {1, 100, 5000}) {
    EXPECT_LT(relative_error(score(3 + shift, 1 + shift), score(3, 1)), 1e-4) << "shifted by " << shift;
    EXPECT_NEAR(at::norm(turned(q, shift)).item<double>(), at::norm(q).item<double>(), 1e-5);
  }
  EXPECT_GT(relative_error(score(4, 1), score(3, 1)), 1e-3) << "another distance must matter";
}

TEST(Rotary, TurnsDimensionIWithIPlusHalf) {
  const auto x = at::tensor({1.0f, 2.0f, 3.0f, 4.0f}).view({1, 1, 1, 4});
  const auto y = rotary(x, rotary_angles(at::full({1}, 7, at::kInt), 4, 100.0)).view(-1);
  const double fast = 7, slow = 0.7;  // base 100: angles 7 * 100^0 and 7 * 100^(-1/2)
  EXPECT_NEAR(y[0].item<double>(), 1 * std::cos(fast) - 3 * std::sin(fast), 1e-5);
  EXPECT_NEAR(y[1].item<double>(), 2 * std::cos(slow) - 4 * std::sin(slow), 1e-5);
  EXPECT_NEAR(y[2].item<double>(), 3 * std::cos(fast) + 1 * std::sin(fast), 1e-5);
  EXPECT_NEAR(y[3].item<double>(), 4 * std::cos(slow) + 2 * std::sin(slow), 1e-5);
}

TEST(Rotary, TakesPositionsOfEachRow) {
  const auto x = at::randn({2, 3, 4, 8});
  const auto rows = at::tensor({0, 1, 2, 3, 0, 1, 0, 1}, at::kInt).view({2, 4});
  const auto together = rotary(x, rotary_angles(rows, 8, 10000.0));
  for (int64_t b = 0; b < 2; ++b) {
    EXPECT_TRUE(at::equal(together[b], rotary(x.narrow(0, b, 1), rotary_angles(rows[b], 8, 10000.0))[0])) << "row " << b;
  }
}

TEST(DropoutKernel, KeepsTheDeclaredShareAndTheMean) {
  const auto x = at::ones({4, 64, 257});  // an odd width crosses the blocks of four draws
  const auto rows = at::arange(4, at::kLong);
  for (const double rate : {0.1, 0.5, 0.9}) {
    const auto y = lacuna::dropout(x, rate, Random(3, 0), rows);
    const double kept = y.ne(0).to(at::kDouble).mean().item<double>();
    const double deviation = std::sqrt(rate * (1 - rate) / static_cast<double>(x.numel()));
    EXPECT_NEAR(kept, 1 - rate, 5 * deviation);
    EXPECT_NEAR(y.max().item<double>(), 1 / (1 - rate), 1e-5);
  }
  EXPECT_TRUE(at::equal(lacuna::dropout(x, 0, Random(3, 0), rows), x));
  EXPECT_FALSE(at::equal(lacuna::dropout(x, 0.5, Random(3, 0), rows), lacuna::dropout(x, 0.5, Random(4, 0), rows)))
      << "another seed";
}

TEST(DropoutKernel, RowsDrawIndependently) {
  const auto y = lacuna::dropout(at::ones({2, 32, 256}), 0.5, Random(3, 0), at::tensor({8, 9}, at::kLong)).ne(0);
  const double agree = y[0].eq(y[1]).to(at::kDouble).mean().item<double>();
  EXPECT_NEAR(agree, 0.5, 5 * 0.5 / std::sqrt(32.0 * 256));
}

TEST(DropoutKernel, TheGradientPassesWhereTheValueDid) {
  const auto x = leaf(at::randn({2, 5, 8}));
  const auto y = lacuna::dropout(x, 0.4, Random(3, 0), at::arange(2, at::kLong));
  y.backward(at::ones_like(y));
  EXPECT_LT(relative_error(x.grad() * x, y), 1e-6);
}

// Lengths around the vector width, against the update written out in double precision.
TEST(AdamWKernel, EqualsTheUpdateWrittenOut) {
  for (const int64_t n : {1, 7, 8, 15, 16, 17, 33, 1023, 70000}) {
    auto p = at::randn({n}), g = at::randn({n}), m = at::randn({n}), v = at::randn({n}).abs();
    const double rate = 0.03, clip = 0.7, correction1 = 0.271, correction2 = 0.142625, decay = 0.1;
    const AdamWConstants constants{.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8};
    const auto gradient = g.to(at::kDouble) * clip;
    const auto first = 0.9 * m.to(at::kDouble) + 0.1 * gradient, second = 0.95 * v.to(at::kDouble) + 0.05 * gradient * gradient;
    const auto expected = p.to(at::kDouble) - rate * ((first / correction1) / ((second / correction2).sqrt() + 1e-8) + decay * p);
    const auto scalars = at::tensor({rate, clip, correction1, correction2}, at::kFloat);
    adamw({.parameters = p, .gradients = g, .first = m, .second = v, .copy = {}, .decays = {}}, constants, decay, scalars);
    EXPECT_LT(relative_error(p, expected), 1e-6) << n;
    // Of the size of what is added, which may cancel.
    EXPECT_LT((m.to(at::kDouble) - first).norm().item<double>(), 1e-6 * (gradient.norm() + first.norm()).item<double>()) << n;
    EXPECT_LT(relative_error(v, second), 1e-6) << n;
  }
}

}  // namespace
}  // namespace lacuna
