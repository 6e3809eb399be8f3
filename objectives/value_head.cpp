#include "objectives/value_head.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>

namespace lacuna {

ValueHead::ValueHead(const ModelContext& context, ValueHeadKind kind, int64_t hidden_size, int64_t patch_size)
    : operations_(context.operations) {
  auto& table = context.parameters;
  inner_weight_ = table.declare(*this, "inner_weight", {hidden_size, hidden_size}, -1, 1, InitialValues::normal);
  inner_bias_ = table.declare(*this, "inner_bias", {hidden_size}, -1, 1, InitialValues::zeros);
  if (kind == ValueHeadKind::normalised) {
    norm_ = register_module("norm", std::make_shared<Norm>(context, NormKind::layer_norm, hidden_size, true, 1e-12));
  }
  weight_ = table.declare(*this, "weight", {patch_size, hidden_size}, -1, 1, InitialValues::normal);
  bias_ = table.declare(*this, "bias", {patch_size}, -1, 1, InitialValues::zeros);
}

at::Tensor ValueHead::forward(const at::Tensor& states) const {
  auto x = operations_.linear(states, inner_weight_, inner_bias_);
  x = norm_ ? norm_->forward(at::gelu(x)) : at::relu(x);
  return operations_.linear(x, weight_, bias_).to(at::kFloat);
}

}  // namespace lacuna
