// The differentiable product on inputs and gradients whose rows do not lie one behind the other.
#include "trainer/kernels/linear.h"

#include <ATen/ops/linear.h>
#include <ATen/ops/zeros_like.h>

#include "tests/support/device_compare.h"

namespace lacuna {
namespace {

using namespace testing;

TEST(LinearOnDevice, RowsMayHaveGapsBetweenThem) {
  for (const auto type : kComputeTypes) {
    auto wide = random_on_device({4, 9, 32}, type).requires_grad_(), weight = random_on_device({16, 32}, type).requires_grad_();
    weight.mutable_grad() = at::zeros_like(weight, on_device(at::kFloat));  // as flat storage holds it
    const auto above = random_on_device({4, 5, 48}, type).narrow(2, 8, 16);  // a gradient with gaps, too
    const auto ours = linear(wide.narrow(1, 2, 5), weight, at::Tensor());
    ours.backward(above);

    const auto x = wide.detach().to(at::kDouble).requires_grad_(), w = weight.detach().to(at::kDouble).requires_grad_();
    const auto expected = at::linear(x.narrow(1, 2, 5), w);
    expected.backward(above.to(at::kDouble));
    const std::string what = at::toString(type);
    expect_close(ours, expected, 2 * tolerance_of(type), what);
    expect_close(weight.grad(), w.grad(), 2 * tolerance_of(type), what + ", gradient of the weight");
    expect_close(wide.grad(), x.grad(), 2 * tolerance_of(type), what + ", gradient of the input");
  }
}

}  // namespace
}  // namespace lacuna
