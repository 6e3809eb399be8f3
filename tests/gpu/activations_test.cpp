#include "trainer/kernels/activations.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tensor.h>

#include "tests/support/device_compare.h"

namespace lacuna {
namespace {

using namespace testing;

constexpr std::array<Nonlinearity, 3> kFunctions = {Nonlinearity::gelu, Nonlinearity::gelu_tanh, Nonlinearity::silu};
constexpr std::array<const char*, 3> kNames = {"gelu", "gelu_tanh", "silu"};

at::Tensor in_double(Nonlinearity f, const at::Tensor& x) {
  if (f == Nonlinearity::silu) return at::silu(x);
  return at::gelu(x, f == Nonlinearity::gelu ? "none" : "tanh");
}

std::string name(Nonlinearity f, at::ScalarType type, const std::string& sizes, const char* part) {
  return std::string(kNames[static_cast<size_t>(f)]) + ", " + at::toString(type) + ", " + sizes + ", " + part;
}

at::Tensor leaf(const at::Tensor& x) { return x.detach().to(at::kDouble).set_requires_grad(true); }

// Where the hardware's exponential enters, a few units in the last place more than its tables.
double tolerance(at::ScalarType type) { return tolerance_of(type) + 2e-6; }

// Element by element: half a unit of the stored type, and what fp32 loses where 1 + erf(x) nearly cancels, which is relative to x
// and not to the result. A tensor of one element may be all tail.
void expect_near(const at::Tensor& actual, const at::Tensor& expected, at::ScalarType type, const std::string& what) {
  expect_elements_close(what, actual, expected.detach(), tolerance(type), 2e-5);
}

void check_plain(Nonlinearity f, at::ScalarType type, int64_t n, bool aligned) {
  const std::string sizes = std::to_string(n) + (aligned ? "" : " not aligned");
  const auto x = random_on_device({n}, type, aligned), dy = random_on_device({n}, type, aligned);
  x.mul_(3);
  const auto x0 = leaf(x), y0 = in_double(f, x0);
  y0.backward(dy.to(at::kDouble));
  const auto y = activation(f, x, poison({n}, type, aligned));
  expect_near(y, y0, type, name(f, type, sizes, "y"));
  activation_backward(f, dy, x);
  expect_near(dy, x0.grad(), type, name(f, type, sizes, "dx"));
  EXPECT_TRUE(at::equal(activation(f, x, x), y)) << name(f, type, sizes, "y in place of x");
}

TEST(Activation, EqualsAtenInDouble) {
  for (const auto f : kFunctions) {
    for (const auto type : kComputeTypes) {
      for (const int64_t n : {1, 7, 8, 9, 255, 2047, 2048, 2049, 2056, 100001, 1 << 20}) check_plain(f, type, n, true);
      check_plain(f, type, 4096, false);
    }
  }
}

TEST(Activation, FarValuesNeitherOverflowNorLoseTheirTail) {
  const auto x =
      at::tensor({0.0, -0.0, 1e-8, -1e-8, 4.0, -4.0, 9.0, -9.0, 30.0, -30.0, 88.0, -88.0, 100.0, -100.0, 1e4, -1e4}, at::kDouble)
          .to(at::kCUDA);
  for (const auto f : kFunctions) {
    for (const auto type : kComputeTypes) {
      const auto given = x.to(type);
      const auto x0 = leaf(given), y0 = in_double(f, x0);
      y0.backward(at::full({16}, 1, on_device(at::kDouble)));
      const auto y = activation(f, given).to(at::kDouble), dx = at::full({16}, 1, on_device(type));
      activation_backward(f, dx, given);
      EXPECT_LT((y - y0).abs().div(y0.abs() + 1e-6).max().item<double>(), type == at::kFloat ? 0.1 : 0.2)
          << name(f, type, "far values", "relative to each value") << "\n"
          << y << "\n"
          << y0;
      expect_close(dx, x0.grad(), tolerance(type), name(f, type, "far values", "dx"));
    }
  }
}

void check_gated(Nonlinearity f, at::ScalarType type, int64_t rows, int64_t size, bool aligned) {
  const std::string sizes = std::to_string(rows) + " x " + std::to_string(size) + (aligned ? "" : " not aligned");
  const auto packed = random_on_device({rows, 2 * size}, type, aligned), dy = random_on_device({rows, size}, type, aligned);
  const auto packed0 = leaf(packed);
  const auto y0 = in_double(f, packed0.narrow(1, 0, size)) * packed0.narrow(1, size, size);
  y0.backward(dy.to(at::kDouble));
  const auto y = gated_activation(f, packed, poison({rows, size}, type, aligned));
  expect_near(y, y0, type, name(f, type, sizes, "gated y"));
  const auto again = poison({rows, size}, type, aligned);
  const auto d = gated_activation_backward(f, dy, packed, poison({rows, 2 * size}, type, aligned), again);
  expect_near(d, packed0.grad(), type, name(f, type, sizes, "d_packed"));
  EXPECT_TRUE(at::equal(again, y)) << name(f, type, sizes, "gated y again");
  EXPECT_TRUE(at::equal(gated_activation_backward(f, dy, packed), d)) << name(f, type, sizes, "d_packed alone");
  EXPECT_TRUE(at::equal(gated_activation_backward(f, dy, packed, packed, dy), d)) << name(f, type, sizes, "in place");
  EXPECT_TRUE(at::equal(dy, y)) << name(f, type, sizes, "y in place of dy");
}

TEST(GatedActivation, EqualsAtenInDouble) {
  for (const auto f : kFunctions) {
    for (const auto type : kComputeTypes) {
      for (const int64_t size : {1, 7, 8, 9, 33, 100, 768, 4864}) {
        for (const int64_t rows : {1, 3, 65}) check_gated(f, type, rows, size, true);
      }
      check_gated(f, type, 9, 64, false);
    }
  }
}

}  // namespace
}  // namespace lacuna
