#include "trainer/kernels/linear.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include "trainer/kernels/affine.h"

namespace lacuna {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

class Linear : public torch::autograd::Function<Linear> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias) {
    ctx->save_for_backward({x, weight});
    if (bias) ctx->saved_data["bias"] = *bias;
    return at::linear(x, weight, bias);
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1];
    const auto dy = gradients[0].contiguous();
    at::Tensor dx;
    if (x.requires_grad()) dx = at::matmul(dy, weight);
    const bool has_bias = ctx->saved_data.count("bias") > 0;
    add_affine_gradients(dy, x, {.weight = weight,
                                 .bias = {},
                                 .weight_gradient = weight.grad(),
                                 .bias_gradient = has_bias ? ctx->saved_data["bias"].toTensor().grad() : at::Tensor()});
    return {dx, {}, {}};
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const auto given = bias.defined() ? std::optional(bias) : std::nullopt;  // a Function takes no undefined tensor
  // The products of the backward pass read rows without gaps.
  if (at::GradMode::is_enabled() && weight.grad().defined()) return Linear::apply(x.contiguous(), weight, given);
  return at::linear(x, weight, given);
}

}  // namespace lacuna
