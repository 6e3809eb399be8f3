#include "trainer/kernels/dropout.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>

#include "tests/support/device_compare.h"

namespace lacuna {
namespace {

using namespace testing;

at::Tensor to_host(const at::Tensor& x) { return x.defined() ? x.cpu() : x; }

// Every element, bit for bit, and so every mask.
void expect_as_on_the_host(at::IntArrayRef shape, at::ScalarType type, double rate, bool with_residual, bool aligned = true) {
  const Random site = Random(0x0123456789abcdef, 0xfedcba9876543210).fork("dropout").fork(3);
  const auto rows = at::tensor(std::vector<int64_t>{0, 1, int64_t{1} << 40, 77, -1}, at::kLong).narrow(0, 0, shape[0]);
  const auto x = random_on_device(shape, type, aligned);
  const auto residual = with_residual ? random_on_device(shape, type, aligned) : at::Tensor();
  const auto out = add_dropout(residual, x, rate, site, rows.to(at::kCUDA), poison(shape, type, aligned)).cpu();
  const auto expected = add_dropout(to_host(residual), x.cpu(), rate, site, rows);
  const auto bad = out.ne(expected).view(-1);
  if (bad.any().item<bool>()) {
    const int64_t first = bad.nonzero()[0].item<int64_t>();
    ADD_FAILURE() << "shape " << shape << ", " << type << ", rate " << rate << (with_residual ? ", residual" : "")
                  << (aligned ? "" : ", not aligned") << ": " << bad.sum().item<int64_t>() << " differ, the first at " << first
                  << ": got " << out.view(-1)[first].item<float>() << ", expected " << expected.view(-1)[first].item<float>();
  }
}

TEST(DropoutOnTheDevice, GivesTheBitsOfTheHost) {
  for (const auto type : kComputeTypes) {
    for (const int64_t width : {1, 3, 4, 5, 7, 8, 9, 16, 100, 768}) {
      for (const int64_t length : {1, 3, 64}) expect_as_on_the_host({2, length, width}, type, 0.3, length == 3);
    }
    for (const double rate : {0.0, 0.1, 0.5, 0.999}) {
      expect_as_on_the_host({5, 33, 256}, type, rate, true);   // 8448 elements: more than a block's 8192
      expect_as_on_the_host({5, 32, 256}, type, rate, false);  // exactly 8192
      expect_as_on_the_host({3, 11, 257}, type, rate, true);
    }
    expect_as_on_the_host({2, 64, 64}, type, 0.2, true, false);
  }
}

TEST(DropoutOnTheDevice, WorksInPlace) {
  const auto rows = at::tensor(std::vector<int64_t>{4, 9}, on_device(at::kLong));
  for (const auto type : kComputeTypes) {
    const auto x = random_on_device({2, 70, 128}, type), residual = random_on_device({2, 70, 128}, type);
    const auto expected = add_dropout(residual, x, 0.4, Random(3, 0), rows);
    EXPECT_TRUE(at::equal(add_dropout(residual, x, 0.4, Random(3, 0), rows, x.clone()), expected));
    const auto sum = residual.clone(), out = x.clone();
    add_dropout(sum, x, 0.4, Random(3, 0), rows, sum);
    EXPECT_TRUE(at::equal(sum, expected)) << type << ", into the residual";
    add_dropout(residual, out, 0.4, Random(3, 0), rows, out);
    EXPECT_TRUE(at::equal(out, expected)) << type << ", into x";
  }
}

// The function that autograd sees has the same masks, forward and backward.
TEST(DropoutOnTheDevice, TheDifferentiableFunctionAgrees) {
  const auto rows = at::tensor(std::vector<int64_t>{4, 9}, at::kLong);
  const auto x = at::ones({2, 6, 24}, on_device(at::kFloat)).set_requires_grad(true);
  const auto y = lacuna::dropout(x, 0.4, Random(3, 0), rows);
  EXPECT_TRUE(at::equal(y.cpu(), lacuna::dropout(at::ones({2, 6, 24}), 0.4, Random(3, 0), rows)));
  const auto dy = random_on_device({2, 6, 24}, at::kFloat);
  y.backward(dy);
  EXPECT_TRUE(at::equal(x.grad(), add_dropout({}, dy, 0.4, Random(3, 0), rows.to(at::kCUDA))));
}

}  // namespace
}  // namespace lacuna
