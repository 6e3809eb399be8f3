// The position-wise half of a block.
#pragma once
#include "trainer/model/fused_halves.h"
#include "trainer/model/norm.h"
#include "trainer/model/parallel_linear.h"

namespace lacuna {

// down(activation(up(x))), or down(activation(gate(x)) * up(x)) where gated (Shazeer 2020), of the residual
// stream as `stream` says.
class FeedForward : public torch::nn::Module {
 public:
  FeedForward(const ModelContext& context, int64_t hidden_size, int64_t size, Activation activation, bool bias,
              double output_deviation);
  at::Tensor forward(const at::Tensor& x, const StreamLayout& stream) const;
  // norm(x) and this, as one node.
  FeedForwardHalf half(const Norm& norm, const StreamLayout& stream) const;

 private:
  Activation activation_;
  ColumnParallelLinears input_;  // gate, where there is one, and up
  std::shared_ptr<RowParallelLinear> down_;
};

}  // namespace lacuna
