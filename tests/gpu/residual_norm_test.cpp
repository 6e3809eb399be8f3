#include "trainer/kernels/residual_norm.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>

#include "tests/support/device_compare.h"
#include "tests/support/expect_error.h"

namespace lacuna {
namespace {

using namespace testing;

struct Kind {
  const char* name;
  bool centred, bias;
};
constexpr std::array<Kind, 3> kKinds = {
    {{"layer norm", true, true}, {"layer norm without bias", true, false}, {"RMS norm", false, false}}};

struct Case {
  at::ScalarType type;
  Kind kind;
  int64_t rows, width;
  bool aligned = true;

  std::string name(const std::string& part) const {
    return std::string(kind.name) + ", " + at::toString(type) + ", " + std::to_string(rows) + " x " + std::to_string(width) +
           (aligned ? "" : ", not aligned") + ", " + part;
  }
};

at::Tensor norm_in_double(const at::Tensor& sum, const at::Tensor& weight, const at::Tensor& bias, const Case& c,
                          double epsilon) {
  auto x = sum;
  if (c.kind.centred) x = x - x.mean(-1, true);
  auto y = x * (x.square().mean(-1, true) + epsilon).rsqrt() * weight;
  return bias.defined() ? y + bias : y;
}

at::Tensor leaf(const at::Tensor& x) { return x.detach().to(at::kDouble).set_requires_grad(true); }

void check(const Case& c, bool with_delta, bool with_d_sum) {
  const double tolerance = tolerance_of(c.type), epsilon = 1e-5;
  const auto random = [&](at::IntArrayRef shape) { return random_on_device(shape, c.type, c.aligned); };
  const auto residual = random({c.rows, c.width}).mul_(3).add_(0.5),
             delta = with_delta ? random({c.rows, c.width}) : at::Tensor();
  NormParameters parameters{.weight = random({c.width}), .centred = c.kind.centred, .epsilon = epsilon};
  if (c.kind.bias) parameters.bias = random({c.width});

  NormState state{.sum = poison({c.rows, c.width}, c.type, c.aligned), .rstd = poison({c.rows}, at::kFloat)};
  if (c.kind.centred) state.mean = poison({c.rows}, at::kFloat);
  const auto normed = residual_norm(residual, delta, parameters, state, poison({c.rows, c.width}, c.type, c.aligned));
  auto expected_sum = residual.to(at::kDouble);
  if (with_delta) expected_sum = expected_sum + delta.to(at::kDouble);
  expect_close(state.sum, expected_sum, with_delta ? tolerance : 1e-12, c.name("sum"));

  const auto sum = leaf(state.sum), weight = leaf(parameters.weight), bias = c.kind.bias ? leaf(parameters.bias) : at::Tensor();
  const auto expected = norm_in_double(sum, weight, bias, c, epsilon);
  // A row of one is centred to zero, where only the rounding of the mean is left.
  const double noise = c.kind.centred && c.width < 4 ? 1e-3 : 0;
  expect_close(normed, expected, tolerance + noise, c.name("normed"));
  EXPECT_TRUE(at::equal(renormed(state, parameters, poison({c.rows, c.width}, c.type, c.aligned)), normed))
      << c.name("computed again");

  const auto d_normed = random({c.rows, c.width}), d_sum = with_d_sum ? random({c.rows, c.width}) : at::Tensor();
  expected.backward(d_normed.to(at::kDouble));
  auto expected_d = sum.grad();
  if (with_d_sum) expected_d = expected_d + d_sum.to(at::kDouble);
  const double sums = 1e-5 + noise;  // fp32 sums over the rows
  const auto start = at::randn({3, c.width}, on_device(at::kFloat));
  const auto backward = [&](const at::Tensor& d, bool with_d_sums) {
    const auto gradients = start.clone();
    const auto given = [&](int64_t row, bool wanted) { return wanted ? gradients[row] : at::Tensor(); };
    const NormGradients places{.weight = gradients[0], .bias = given(1, c.kind.bias), .d_sums = given(2, with_d_sums)};
    return std::pair(residual_norm_backward(d_normed, d_sum, state, parameters, places, d), gradients);
  };
  const auto [d, gradients] = backward(poison({c.rows, c.width}, c.type, c.aligned), true);
  expect_close(d, expected_d, tolerance + 1e-5 + noise, c.name("d"));
  expect_close(gradients[0], start[0].to(at::kDouble) + weight.grad(), sums, c.name("weight gradient"));
  auto expected_bias = start[1].to(at::kDouble);
  if (c.kind.bias) expected_bias = expected_bias + bias.grad();
  expect_close(gradients[1], expected_bias, c.kind.bias ? sums : 1e-12, c.name("bias gradient"));
  // A centred row's gradients add up to zero but for d_sum's, so the sums are held against those of the absolute values.
  const auto expected_sums = start[2].to(at::kDouble) + expected_d.sum(0);
  const double scale = expected_d.abs().sum(0).max().item<double>() / std::max(expected_sums.abs().max().item<double>(), 1e-30);
  expect_close(gradients[2], expected_sums, sums * std::max(scale, 1.0), c.name("column sums of d"));
  // Without them; in place; and a second time.
  const auto [d_again, without] = backward(poison({c.rows, c.width}, c.type, c.aligned), false);
  EXPECT_TRUE(at::equal(d_again, d)) << c.name("d without its column sums");
  EXPECT_TRUE(at::equal(without[2], start[2])) << c.name("column sums that were not asked for");
  const auto [in_place, again] = backward(with_d_sum ? d_sum : d_normed, true);
  EXPECT_TRUE(at::equal(in_place, d)) << c.name("d in place");
  EXPECT_TRUE(at::equal(again, gradients)) << c.name("gradients of a second run");
}

class ResidualNorm : public ::testing::TestWithParam<int64_t> {};

TEST_P(ResidualNorm, EqualsTheCompositionInDouble) {
  const int64_t width = GetParam();
  for (const auto type : kComputeTypes) {
    for (const auto& kind : kKinds) {
      check({type, kind, 1, width}, true, true);
      check({type, kind, 5, width}, true, /*with_d_sum=*/width == 1);       // alone, the gradient of a row of one is rounding
      check({type, kind, width <= 1032 ? 4700 : 1100, width}, true, true);  // several rows for every block of the backward
    }
  }
}

// Around the chunk of 8, a lane's 1 to 4 chunks, rows of 1, 2, 4 and 8 warps, and what no block holds; and widths of real models.
INSTANTIATE_TEST_SUITE_P(Widths, ResidualNorm,
                         ::testing::Values(1, 7, 8, 9, 31, 32, 33, 248, 256, 264, 504, 512, 520, 768, 896, 1000, 1024, 1032, 1280,
                                           1536, 1600, 2040, 2048, 2056, 3072, 4096, 4104, 8192, 8200, 10001));

TEST(ResidualNormPaths, UnalignedRowsAndNoDelta) {
  for (const auto type : kComputeTypes) {
    for (const auto& kind : kKinds) {
      check({type, kind, 700, 768, false}, true, true);
      check({type, kind, 700, 768}, false, true);
      check({type, kind, 33, 77}, false, false);
    }
  }
}

TEST(ResidualNormPaths, TheSumMayReplaceTheResidual) {
  for (const auto type : kComputeTypes) {
    for (const int64_t width : {33, 768, 1600, 10001}) {
      const auto residual = random_on_device({300, width}, type), delta = random_on_device({300, width}, type);
      const NormParameters parameters{.weight = random_on_device({width}, type), .bias = random_on_device({width}, type)};
      NormState apart, in_place{.sum = residual.clone()};
      const auto expected = residual_norm(residual, delta, parameters, apart);
      const auto normed = residual_norm(in_place.sum, delta, parameters, in_place);
      EXPECT_TRUE(at::equal(normed, expected)) << type << " " << width;
      EXPECT_TRUE(at::equal(in_place.sum, apart.sum)) << type << " " << width;
    }
  }
}

// A large common offset: the variance must not be a difference of large squares.
TEST(ResidualNormPaths, AnOffsetDoesNotDrownTheVariance) {
  const int64_t width = 768;
  const auto residual = random_on_device({64, width}, at::kFloat) + 1000;
  const NormParameters parameters{.weight = at::full({width}, 1, on_device(at::kFloat))};
  NormState state;
  const auto normed = residual_norm(residual, {}, parameters, state);
  EXPECT_TRUE(state.sum.is_same(residual));
  const Case c{at::kFloat, kKinds[1], 64, width};
  expect_close(normed, norm_in_double(residual.to(at::kDouble), parameters.weight.to(at::kDouble), {}, c, 1e-5), 2e-4,
               "offset 1000");
}

TEST(ResidualNormPaths, NoRowsIsNoWork) {
  const NormParameters parameters{.weight = random_on_device({64}, at::kFloat)};
  NormState state;
  const auto normed = residual_norm(at::empty({0, 64}, on_device(at::kFloat)), {}, parameters, state);
  EXPECT_EQ(normed.numel(), 0);
}

TEST(ResidualNormPaths, AWrongShapeIsNamed) {
  const NormParameters parameters{.weight = random_on_device({64}, at::kFloat)};
  NormState state;
  const auto x = random_on_device({3, 64}, at::kFloat), other = random_on_device({3, 63}, at::kFloat);
  expect_error(ExitCode::internal, "delta must be contiguous, of shape [3, 64]",
               [&] { residual_norm(x, other, parameters, state); });
}

}  // namespace
}  // namespace lacuna
