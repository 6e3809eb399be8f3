#include "trainer/model/norm.h"

#include <ATen/ops/layer_norm.h>
#include <ATen/ops/rms_norm.h>

namespace lacuna {

Norm::Norm(const ModelContext& context, NormKind kind, int64_t size, bool bias, double epsilon) : kind_(kind), epsilon_(epsilon) {
  weight_ = context.parameters.declare(*this, "weight", {size}, -1, 1, InitialValues::ones);
  if (bias && kind == NormKind::layer_norm) bias_ = context.parameters.declare(*this, "bias", {size}, -1, 1, InitialValues::zeros);
}

at::Tensor Norm::forward(const at::Tensor& x) const {
  if (kind_ == NormKind::rms_norm) return at::rms_norm(x, {x.size(-1)}, weight_, epsilon_);
  return at::layer_norm(x, {x.size(-1)}, weight_, bias_.defined() ? std::optional<at::Tensor>(bias_) : std::nullopt, epsilon_);
}

NormWeights Norm::weights() const {
  return {.values = {.weight = weight_, .bias = bias_, .centred = kind_ == NormKind::layer_norm, .epsilon = epsilon_},
          .gradients = {.weight = weight_.grad(), .bias = bias_.defined() ? bias_.grad() : at::Tensor()}};
}

std::vector<at::Tensor> Norm::parameters() const { return bias_.defined() ? std::vector{weight_, bias_} : std::vector{weight_}; }

}  // namespace lacuna
