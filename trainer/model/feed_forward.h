// The position-wise half of a block.
#pragma once
#include "trainer/model/parallel_linear.h"

namespace lacuna {

enum class Activation { gelu, gelu_tanh, swiglu, geglu };
constexpr std::array<std::string_view, 4> names_of(Activation) { return {"gelu", "gelu_tanh", "swiglu", "geglu"}; }
constexpr bool is_gated(Activation a) { return a == Activation::swiglu || a == Activation::geglu; }

// down(activation(up(x))), or down(activation(gate(x)) * up(x)) where gated (Shazeer 2020). x (B, T, D) -> (B, T, D).
class FeedForward : public torch::nn::Module {
 public:
  FeedForward(const ModelContext& context, int64_t hidden_size, int64_t size, Activation activation, bool bias,
              double output_deviation);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  Communicator& axis_;
  Activation activation_;
  std::shared_ptr<ColumnParallelLinear> gate_, up_;
  std::shared_ptr<RowParallelLinear> down_;
};

}  // namespace lacuna
