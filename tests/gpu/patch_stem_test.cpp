// The stem of a patch encoder against its composition in double precision.
#include "trainer/kernels/patch_stem.h"

#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>

#include "tests/support/device_compare.h"

namespace lacuna {
namespace {

using namespace testing;

void check(at::ScalarType type, int64_t rows, int64_t length, int64_t class_tokens, int64_t width, bool some_masked) {
  const std::string what = std::string(at::toString(type)) + ", " + std::to_string(rows) + " x " + std::to_string(length) + " x " +
                           std::to_string(width) + ", " + std::to_string(class_tokens) + " class tokens";
  const auto leaf = [&](at::IntArrayRef sizes) { return random_on_device(sizes, type).requires_grad_(); };
  const auto in_double = [](const at::Tensor& x) { return x.detach().to(at::kDouble).requires_grad_(); };
  const auto patches = leaf({rows, length, width});
  const auto masked = some_masked ? at::rand({rows, length}, on_device(at::kFloat)).lt(0.6) : at::Tensor();
  PatchStem w{.mask = leaf({width}), .position = leaf({length + 3, width}), .class_tokens = {}};
  PatchStem w0{.mask = in_double(w.mask), .position = in_double(w.position), .class_tokens = {}};
  if (class_tokens > 0) w.class_tokens = leaf({class_tokens, width}), w0.class_tokens = in_double(w.class_tokens);
  const auto own = [&](const PatchStem& weights) {
    std::vector<at::Tensor> all{weights.mask, weights.position};
    if (class_tokens > 0) all.push_back(weights.class_tokens);
    return all;
  };
  // As flat storage holds gradients, which are added to.
  for (auto& weight : own(w)) weight.mutable_grad() = at::full(weight.sizes(), 1, on_device(at::kFloat));
  const auto above = random_on_device({rows, class_tokens + length, width}, type);
  const auto out = patch_stem(patches, masked, w);
  out.backward(above);
  const auto patches0 = in_double(patches), out0 = patch_stem_reference(patches0, masked, w0);
  out0.backward(above.to(at::kDouble));
  expect_close(out, out0, tolerance_of(type), what);
  expect_close(patches.grad(), patches0.grad(), tolerance_of(type), what + ", gradient of patches");
  for (size_t i = 0; i < own(w).size(); ++i) {
    const auto expected = own(w0)[i].grad();
    expect_close(own(w)[i].grad() - 1, expected.defined() ? expected : at::full(own(w0)[i].sizes(), 0, on_device(at::kDouble)), 1e-5,
                 what + ", gradient " + std::to_string(i));
  }
}

TEST(PatchStemOnDevice, EqualsItsComposition) {
  for (const auto type : kComputeTypes) {
    for (const bool masked : {false, true}) {
      check(type, 1, 1, 0, 8, masked);
      check(type, 3, 5, 1, 7, masked);
      check(type, 9, 33, 2, 96, masked);
      check(type, 64, 512, 2, 768, masked);
    }
  }
}

}  // namespace
}  // namespace lacuna
