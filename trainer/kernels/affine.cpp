#include "trainer/kernels/affine.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>

#include <optional>

namespace lacuna {
namespace {

at::Tensor rows_of(const at::Tensor& t) { return t.reshape({-1, t.size(-1)}); }

}  // namespace

at::Tensor affine(const at::Tensor& x, const AffineWeights& w) {
  return at::linear(x, w.weight, w.bias.defined() ? std::optional(w.bias) : std::nullopt);
}

at::Tensor affine_gelu(const at::Tensor& x, const AffineWeights& w, at::Tensor& before) {
  before = affine(x, w);
  return at::gelu(before, "tanh");
}

at::Tensor affine_input_gradient(const at::Tensor& dy, const AffineWeights& w) { return at::matmul(dy, w.weight); }

at::Tensor affine_input_gradient_gelu(const at::Tensor& dy, const AffineWeights& w, const at::Tensor& before,
                                      const at::Tensor& bias_gradient) {
  const auto d = at::gelu_backward(affine_input_gradient(dy, w), before, "tanh");
  if (bias_gradient.defined()) bias_gradient.add_(rows_of(d).sum(0, false, at::kFloat));
  return d;
}

void add_affine_gradients(const at::Tensor& dy, const at::Tensor& x, const AffineWeights& w, bool with_bias) {
  w.weight_gradient.addmm_(rows_of(dy).t(), rows_of(x));
  if (with_bias && w.bias_gradient.defined()) w.bias_gradient.add_(rows_of(dy).sum(0, false, at::kFloat));
}

}  // namespace lacuna
