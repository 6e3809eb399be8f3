#include "trainer/model/feed_forward.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/silu.h>

#include "trainer/parallel/collectives.h"

namespace lacuna {

FeedForward::FeedForward(const ModelContext& context, int64_t hidden_size, int64_t size, Activation activation, bool bias,
                         double output_deviation)
    : axis_(context.mesh.tensor()), activation_(activation) {
  if (is_gated(activation)) {
    gate_ = register_module("gate", std::make_shared<ColumnParallelLinear>(context, hidden_size, size, bias));
  }
  up_ = register_module("up", std::make_shared<ColumnParallelLinear>(context, hidden_size, size, bias));
  down_ = register_module("down", std::make_shared<RowParallelLinear>(context, size, hidden_size, bias, output_deviation));
}

at::Tensor FeedForward::forward(const at::Tensor& x) const {
  const auto shared = copy_to_axis(x, axis_);
  const auto up = up_->forward(shared);
  switch (activation_) {
    case Activation::gelu: return down_->forward(at::gelu(up, "none"));
    case Activation::gelu_tanh: return down_->forward(at::gelu(up, "tanh"));
    case Activation::swiglu: return down_->forward(at::silu(gate_->forward(shared)) * up);
    case Activation::geglu: return down_->forward(at::gelu(gate_->forward(shared), "none") * up);
  }
  throw std::logic_error("unreachable: an activation without a case");
}

}  // namespace lacuna
