// Linear layers that are split over the tensor axis (Megatron-LM, Shoeybi et al. 2019, section 3).
#pragma once
#include <torch/nn/module.h>

#include "trainer/model/architecture.h"

namespace lacuna {

// y = x W^T + b with W's rows split: every rank computes its share of the outputs. The caller passes x through copy_to_axis once
// for all layers that read it. x (..., in) -> (..., out / ranks).
class ColumnParallelLinear : public torch::nn::Module {
 public:
  ColumnParallelLinear(const ModelContext& context, int64_t in, int64_t out, bool bias, double deviation = 0.02);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  at::Tensor weight_, bias_;
};

// y = x W^T + b with W's columns split: x is this rank's share of the inputs, the products are summed over the axis.
// x (..., in / ranks) -> (..., out), whole on every rank.
class RowParallelLinear : public torch::nn::Module {
 public:
  RowParallelLinear(const ModelContext& context, int64_t in, int64_t out, bool bias, double deviation = 0.02);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  Communicator& axis_;
  at::Tensor weight_, bias_;
};

}  // namespace lacuna
