#include "trainer/model/feed_forward.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/silu.h>

namespace lacuna {
namespace {

std::vector<ColumnParallelLinears::Output> inputs(Activation activation, int64_t size) {
  if (is_gated(activation)) return {{"gate", size}, {"up", size}};
  return {{"up", size}};
}

}  // namespace

FeedForward::FeedForward(const ModelContext& context, int64_t hidden_size, int64_t size, Activation activation, bool bias,
                         double output_deviation)
    : activation_(activation), input_(*this, context, hidden_size, inputs(activation, size), bias) {
  down_ = register_module("down", std::make_shared<RowParallelLinear>(context, size, hidden_size, bias, output_deviation));
}

at::Tensor FeedForward::forward(const at::Tensor& x, const StreamLayout& stream) const {
  const auto shared = stream.enter(x);
  const auto gate = [&] { return input_.forward(0, shared); };
  const auto up = input_.forward(is_gated(activation_) ? 1 : 0, shared);
  switch (activation_) {
    case Activation::gelu: return down_->forward(at::gelu(up, "none"), stream);
    case Activation::gelu_tanh: return down_->forward(at::gelu(up, "tanh"), stream);
    case Activation::swiglu: return down_->forward(at::silu(gate()) * up, stream);
    case Activation::geglu: return down_->forward(at::gelu(gate(), "none") * up, stream);
  }
  throw std::logic_error("unreachable: an activation without a case");
}

FeedForwardHalf FeedForward::half(const Norm& norm, const StreamLayout& stream) const {
  return {.norm = norm.weights(),
          .input = input_.packed(),
          .output = down_->weights(),
          .activation = activation_,
          .stream = stream,
          .parameters = joined({norm.parameters(), input_.parameters(), down_->parameters()})};
}

}  // namespace lacuna
