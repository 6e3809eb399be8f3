// Operations whose gradients are differentiated again, against their compositions in double precision: the value, the gradients, and
// the gradients of what the gradients are paired with.
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <limits>

#include "tests/support/device_compare.h"
#include "tests/support/expect_error.h"
#include "trainer/kernels/joint_softmax.h"
#include "trainer/kernels/rms_norm.h"
#include "trainer/kernels/rotary.h"
#include "trainer/kernels/silu_gate.h"

namespace lacuna {
namespace {

using namespace testing;
using Tensors = std::vector<at::Tensor>;
using Function = std::function<Tensors(const Tensors&)>;

struct Derivatives {
  Tensors values, first, second;
};

at::Tensor paired(const Tensors& values, const Tensors& with) {
  at::Tensor sum;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto part = (values[i].to(at::kDouble) * with[i].to(at::kDouble)).sum();
    sum = sum.defined() ? sum + part : part;
  }
  return sum;
}

// Of f at `inputs`: its values; by the first `num_slopes` inputs the gradients of its pairing with `pairs`, as functions of the
// inputs; and of their pairing with `again` the gradients by all inputs.
Derivatives derivatives(const Function& f, const Tensors& inputs, size_t num_slopes, const Tensors& pairs, const Tensors& again,
                        at::ScalarType type) {
  Tensors x;
  for (const auto& input : inputs) x.push_back(input.to(type).detach().requires_grad_());
  const Tensors by(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(num_slopes));
  Derivatives d;
  d.values = f(x);
  d.first = torch::autograd::grad({paired(d.values, pairs)}, by, {}, true, true);
  // Second derivatives alone: values take part again, so that gradients of both kinds meet, as in a descent.
  d.second = torch::autograd::grad({paired(d.first, again) + paired(d.values, pairs)}, x, {}, true, false);
  return d;
}

void check(const std::string& what, const Function& f, const Function& reference, const Tensors& inputs, size_t num_slopes,
           at::ScalarType type) {
  Tensors rounded, pairs, again;
  for (const auto& input : inputs) rounded.push_back(input.to(type));
  for (const auto& value : reference(rounded)) pairs.push_back(at::randn(value.sizes(), on_device(type)));
  for (size_t i = 0; i < num_slopes; ++i) again.push_back(at::randn(inputs[i].sizes(), on_device(type)));
  const auto got = derivatives(f, rounded, num_slopes, pairs, again, type);
  const auto expected = derivatives(reference, rounded, num_slopes, pairs, again, at::kDouble);
  const double tolerance = 4 * tolerance_of(type);
  const auto compare = [&](const Tensors& a, const Tensors& e, const char* kind) {
    for (size_t i = 0; i < e.size(); ++i) {
      expect_close(a[i], e[i], tolerance, what + ", " + at::toString(type) + ", " + kind + " " + std::to_string(i));
    }
  };
  compare(got.values, expected.values, "value");
  compare(got.first, expected.first, "gradient");
  compare(got.second, expected.second, "second derivative");
}

at::Tensor random(at::IntArrayRef shape) { return at::randn(shape, on_device(at::kDouble)); }

TEST(TwiceDifferentiable, RmsNormEqualsTheCompositionInDouble) {
  for (const auto type : kComputeTypes) {
    for (const int64_t width : {7, 8, 33, 64, 384, 1000}) {
      for (const double size : {1.0, 1e-3}) {  // the latter where epsilon counts
        const Function f = [](const Tensors& x) { return Tensors{rms_norm(x[0], x[1], 1e-5)}; };
        const Function reference = [](const Tensors& x) { return Tensors{rms_norm_reference(x[0], x[1], 1e-5)}; };
        check("width " + std::to_string(width), f, reference, {size * random({3, 5, width}), 1 + 0.3 * random({width})}, 1, type);
      }
    }
  }
}

TEST(TwiceDifferentiable, SiluGateEqualsTheCompositionInDouble) {
  for (const auto type : kComputeTypes) {
    for (const int64_t count : {1, 8, 31, 4096}) {
      const Function f = [](const Tensors& x) { return Tensors{silu_gate(x[0])}; };
      const Function reference = [](const Tensors& x) { return Tensors{silu_gate_reference(x[0])}; };
      check("count " + std::to_string(count), f, reference, {2 * random({3, 2 * count})}, 1, type);
    }
  }
}

TEST(TwiceDifferentiable, JointSoftmaxEqualsTheCompositionInDouble) {
  for (const auto type : kComputeTypes) {
    for (const int64_t keys : {1, 7, 8, 40, 264}) {
      for (const int64_t masks : {1, 2}) {
        // Later queries see more, the first one nothing but itself; masks of a longer table, as a descent at a text's end takes them.
        const auto query = at::arange(-1, 5, on_device(at::kLong)).unsqueeze(1), key = at::arange(keys, on_device(at::kLong));
        const auto mask = at::zeros({masks, 1, 6, keys}, on_device(at::kFloat))
                              .masked_fill(key.gt(query + keys / 2), -std::numeric_limits<float>::infinity());
        const auto with_mask = [&](const auto& softmax) -> Function {
          return [&](const Tensors& x) {
            const auto shares = softmax(x[0], x[1], mask.narrow(2, 1, 5));
            return Tensors{shares.others, shares.own};
          };
        };
        check("keys " + std::to_string(keys), with_mask(joint_softmax), with_mask(joint_softmax_reference),
              {2 * random({2, 3, 5, keys}), random({2, 3, 5, 1})}, 2, type);
      }
    }
  }
}

TEST(TwiceDifferentiable, RotaryEqualsTheCompositionInDouble) {
  for (const auto type : kComputeTypes) {
    for (const int64_t size : {2, 16, 24, 64}) {
      for (const bool own : {false, true}) {  // angles of each row
        const auto positions = own ? at::arange(14, on_device(at::kInt)).view({2, 7}) : at::arange(7, on_device(at::kInt));
        const auto angles = rotary_angles(positions, size, 10000);
        const Function f = [&](const Tensors& x) { return Tensors{rotary(x[0].transpose(1, 2), angles, 0.25)}; };
        const Function reference = [&](const Tensors& x) { return Tensors{rotary_reference(x[0].transpose(1, 2), angles, 0.25)}; };
        check("size " + std::to_string(size), f, reference, {random({2, 7, 3, size})}, 1, type);
      }
    }
  }
}

TEST(TwiceDifferentiable, AThirdDerivativeIsRefused) {
  const auto x = random({2, 8}).to(at::kFloat).requires_grad_(), weight = random({8}).to(at::kFloat);
  const auto first = torch::autograd::grad({rms_norm(x, weight, 1e-5).pow(2).sum()}, {x}, {}, true, true)[0];
  expect_error(ExitCode::internal, "has no third derivative",
               [&] { torch::autograd::grad({first.pow(2).sum()}, {x}, {}, true, true); });
}

}  // namespace
}  // namespace lacuna
