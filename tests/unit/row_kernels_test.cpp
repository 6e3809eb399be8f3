// The CPU side of the kernels that work on rows, against autograd or against functions with tests of their own.
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "data/philox.h"
#include "tests/support/expect_error.h"
#include "tests/support/network.h"
#include "trainer/kernels/activations.h"
#include "trainer/kernels/dropout.h"
#include "trainer/kernels/embedding.h"
#include "trainer/kernels/residual_norm.h"
#include "trainer/kernels/rotary.h"
#include "trainer/kernels/scale.h"

namespace lacuna {
namespace {

using testing::expect_error;
using testing::relative_error;

at::Tensor leaf(const at::Tensor& x) { return x.detach().clone().set_requires_grad(true); }

TEST(ResidualNorm, EqualsAtenAndItsGradient) {
  for (const bool centred : {true, false}) {
    const auto residual = at::randn({2, 5, 13}), delta = at::randn({2, 5, 13}), dy = at::randn({2, 5, 13}),
               d_sum = at::randn({2, 5, 13});
    NormParameters p{.weight = at::randn({13}), .centred = centred, .epsilon = 1e-5};
    if (centred) p.bias = at::randn({13});
    const auto sum0 = leaf(residual + delta), weight0 = leaf(p.weight), bias0 = centred ? leaf(p.bias) : at::Tensor();
    const auto y0 = centred ? at::layer_norm(sum0, {13}, weight0, bias0, 1e-5) : at::rms_norm(sum0, {13}, weight0, 1e-5);
    y0.backward(dy);

    NormState state;
    const auto y = residual_norm(residual, delta, p, state);
    EXPECT_LT(relative_error(y, y0), 1e-6);
    EXPECT_TRUE(at::equal(state.sum, sum0));
    EXPECT_EQ(state.mean.defined(), centred);
    EXPECT_TRUE(at::equal(renormed(state, p), y));
    const auto gradients = at::randn({3, 13}), before = gradients.clone();
    const auto d = residual_norm_backward(dy, d_sum, state, p,
                                          {.weight = gradients[0], .bias = centred ? gradients[1] : at::Tensor(), .d_sums = gradients[2]});
    const auto added = gradients - before, expected = sum0.grad() + d_sum;
    EXPECT_LT(relative_error(d, expected), 1e-5);
    EXPECT_LT(relative_error(added[0], weight0.grad()), 1e-5);
    if (centred) {
      EXPECT_LT(relative_error(added[1], bias0.grad()), 1e-5);
    }
    EXPECT_LT(relative_error(added[2], expected.view({-1, 13}).sum(0)), 1e-5);
  }
}

TEST(Scale, MultipliesInPlace) {
  const auto start = at::randn({3, 5});
  for (const double factor : {1.0, -0.5}) {
    auto x = start.clone();
    scale(x, at::tensor(factor, at::kFloat));
    EXPECT_TRUE(at::equal(x, start * factor));
  }
}

TEST(ResidualNorm, WorksInPlaceAndInBf16) {
  const auto residual = at::randn({4, 16}).to(at::kBFloat16), delta = at::randn({4, 16}).to(at::kBFloat16);
  const NormParameters p{.weight = at::randn({16}).to(at::kBFloat16)};
  NormState apart, in_place{.sum = residual.clone()};
  const auto expected = residual_norm(residual, delta, p, apart);
  EXPECT_TRUE(at::equal(residual_norm(in_place.sum, delta, p, in_place), expected));
  EXPECT_TRUE(at::equal(in_place.sum, apart.sum));
  const auto exact = at::layer_norm(apart.sum.to(at::kFloat), {16}, p.weight.to(at::kFloat));
  EXPECT_LT(relative_error(expected.to(at::kFloat), exact), 5e-3);
}

TEST(ResidualNorm, NamesWhatDoesNotFit) {
  const NormParameters p{.weight = at::randn({16})};
  NormState state;
  expect_error(ExitCode::internal, "delta must be contiguous, of shape [4, 16] and type Float on cpu, but is [4, 15]", [&] {
    residual_norm(at::randn({4, 16}), at::randn({4, 15}), p, state);
  });
  expect_error(ExitCode::internal, "weight must be contiguous, of shape [8]", [&] {
    residual_norm(at::randn({4, 8}), {}, p, state);
  });
}

at::Tensor plain(Nonlinearity f, const at::Tensor& x) {
  if (f == Nonlinearity::silu) return at::silu(x);
  return at::gelu(x, f == Nonlinearity::gelu ? "none" : "tanh");
}

TEST(Activation, EqualsAtenAndItsGradient) {
  for (const auto f : {Nonlinearity::gelu, Nonlinearity::gelu_tanh, Nonlinearity::silu}) {
    const auto x = at::randn({3, 11}) * 2, dy = at::randn({3, 11});
    const auto x0 = leaf(x), y0 = plain(f, x0);
    y0.backward(dy);
    EXPECT_TRUE(at::equal(activation(f, x), y0));
    const auto dx = dy.clone(), sums = at::ones({11});
    activation_backward(f, dx, x, sums);
    EXPECT_LT(relative_error(dx, x0.grad()), 1e-6);
    EXPECT_LT(relative_error(sums, 1 + x0.grad().sum(0)), 1e-6) << "added to what was there";

    const auto packed = at::randn({3, 10}), dz = at::randn({3, 5});
    const auto packed0 = leaf(packed), z0 = plain(f, packed0.narrow(1, 0, 5)) * packed0.narrow(1, 5, 5);
    z0.backward(dz);
    EXPECT_LT(relative_error(gated_activation(f, packed), z0), 1e-6);
    const auto z = dz.clone(), d = packed.clone();
    gated_activation_backward(f, z, d, d, z);  // all in place
    EXPECT_LT(relative_error(d, packed0.grad()), 1e-6);
    EXPECT_LT(relative_error(z, z0), 1e-6);
  }
}

TEST(TurnHeads, EqualsRotaryOnTheHeadsThatTurn) {
  const int64_t heads = 3, kv_heads = 2, size = 6, width = (heads + 2 * kv_heads) * size;
  const auto table = rotary_table(20, size, 100.0, at::kCPU);
  for (const bool given : {false, true}) {
    const auto qkv = at::randn({2, 7, width}), before = qkv.clone();
    const auto positions = given ? at::randint(20, {2, 7}, at::kInt) : at::Tensor();
    turn_heads(qkv, heads, kv_heads, table, positions);
    const auto split = before.view({2, 7, -1, size}).transpose(1, 2);
    const auto angles = rotary_angles(given ? positions : at::arange(7, at::kInt), size, 100.0);
    const auto expected =
        at::cat({rotary(split.narrow(1, 0, 5), angles), split.narrow(1, 5, 2)}, 1).transpose(1, 2).reshape({2, 7, width});
    EXPECT_LT(relative_error(qkv, expected), 1e-6) << given;
    turn_heads(qkv, heads, kv_heads, table, positions, /*inverse=*/true);
    EXPECT_LT(relative_error(qkv, before), 1e-6) << given;
  }
}

TEST(Embed, EqualsAtenWithPositionsAndForeignIds) {
  const auto table = at::randn({6, 5}), places = at::randn({9, 5});
  const auto ids = at::tensor({3, 4, 9, 10, 7, 2}, at::kInt).view({2, 3});  // the table holds 4..9
  auto expected = at::embedding(table, (ids.to(at::kLong) - 4).clamp(0, 5));
  for (const auto& [b, t] : {std::pair(0, 0), std::pair(1, 0), std::pair(1, 2)}) expected[b][t] = 0;
  EXPECT_TRUE(at::equal(embed(ids, table, 4), expected));
  EXPECT_TRUE(at::equal(embed(ids.to(at::kUInt16), table, 4), expected));
  EXPECT_TRUE(at::equal(embed(ids, table, 4, places), expected + places.narrow(0, 0, 3)));
  const auto positions = at::tensor({8, 0, 3, 3, 1, 5}, at::kInt).view({2, 3});
  EXPECT_TRUE(at::equal(embed(ids, table, 4, places, positions), expected + at::embedding(places, positions)));
}

TEST(Embed, GradientsAddToTheRowsThatWereRead) {
  const auto ids = at::tensor({3, 4, 4, 10, 7, 4}, at::kInt).view({2, 3});
  const auto d = at::randn({2, 3, 5}), gradient = at::zeros({6, 5}), places = at::zeros({4, 5});
  for (int pass = 1; pass <= 2; ++pass) {
    add_embedding_gradient(ids, d, gradient, 4);
    EXPECT_LT(relative_error(gradient[0], (d[0][1] + d[0][2] + d[1][2]) * pass), 1e-6);
    EXPECT_LT(relative_error(gradient[3], d[1][1] * pass), 1e-6);
    EXPECT_EQ(gradient.index_select(0, at::tensor({1, 2, 4, 5}, at::kLong)).abs().max().item<float>(), 0);
    add_position_gradient(d, places);
    EXPECT_LT(relative_error(places.narrow(0, 0, 3), d.sum(0) * pass), 1e-6);
    EXPECT_EQ(places[3].abs().max().item<float>(), 0);
  }
}

TEST(AddDropout, HasTheMasksOfDropout) {
  const auto x = at::randn({2, 5, 7}), residual = at::randn({2, 5, 7});
  const auto rows = at::arange(2, at::kLong);
  const auto expected = lacuna::dropout(x, 0.4, Random(3, 0), rows);
  EXPECT_TRUE(at::equal(add_dropout({}, x, 0.4, Random(3, 0), rows), expected));
  EXPECT_TRUE(at::equal(add_dropout(residual, x, 0.4, Random(3, 0), rows), residual + expected));
  expect_error(ExitCode::internal, "the rate must be in [0, 1)", [&] { add_dropout({}, x, 1.0, Random(3, 0), rows); });
}

// What a device kernel derives from a generator's key and stream.
TEST(Philox, DrawsAndForksAsRandomDoes) {
  const Random random = Random(0x0123456789abcdef, 0xfedcba9876543210).fork("site");
  const auto block = [](const std::array<uint32_t, 2>& key, uint64_t stream, uint64_t index) {
    return philox({low_word(index), high_word(index), low_word(stream), high_word(stream)}, key);
  };
  for (const uint64_t index : {uint64_t{0}, uint64_t{5}, uint64_t{1} << 40}) {
    EXPECT_EQ(block(random.key(), random.stream(), index), random.block(index));
    EXPECT_EQ(block(forked_key(random.key(), 77, kNumberName), random.stream(), index), random.fork(77).block(index));
  }
}

}  // namespace
}  // namespace lacuna
