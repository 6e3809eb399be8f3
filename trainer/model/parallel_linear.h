// Linear layers that are split over the tensor axis (Megatron-LM, Shoeybi et al. 2019, section 3).
#pragma once
#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "trainer/kernels/affine.h"
#include "trainer/model/architecture.h"
#include "trainer/model/stream_layout.h"

namespace lacuna {

// Linears of one input with their rows split: y_i = x W_i^T + b_i, every rank computing its share of each one's outputs. Their
// weights, and their biases, are declared side by side, so that in flat storage they are the rows of one matrix. The caller passes
// x through StreamLayout::enter once for all layers that read it. x (..., in) -> (..., out_i / ranks).
class ColumnParallelLinears {
 public:
  struct Output {
    std::string name;  // parameters are "name.weight" and "name.bias" of the owner
    int64_t size;
  };
  ColumnParallelLinears(torch::nn::Module& owner, const ModelContext& context, int64_t in, const std::vector<Output>& outputs,
                        bool bias, double deviation = 0.02);
  at::Tensor forward(size_t output, const at::Tensor& x) const;
  // All of them as one, with the gradients in flat storage. Throws Error(internal) where they do not lie side by side.
  AffineWeights packed() const;
  std::vector<at::Tensor> parameters() const;

 private:
  const Operations& operations_;
  std::vector<at::Tensor> weights_, biases_;
};

// y = x W^T + b with W's columns split: x is this rank's share of the inputs, the products are summed over the axis.
// x (B, T, in / ranks) -> (B, T, out), whole on every rank, or each rank's share of its positions, as `stream` says.
class RowParallelLinear : public torch::nn::Module {
 public:
  RowParallelLinear(const ModelContext& context, int64_t in, int64_t out, bool bias, double deviation = 0.02);
  at::Tensor forward(const at::Tensor& x, const StreamLayout& stream) const;
  AffineWeights weights() const;
  std::vector<at::Tensor> parameters() const;

 private:
  const Operations& operations_;
  at::Tensor weight_, bias_;
};

// The lists one after the other.
std::vector<at::Tensor> joined(std::initializer_list<std::vector<at::Tensor>> lists);

}  // namespace lacuna
