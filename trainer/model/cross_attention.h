// Attention of one sequence to the states of another, its heads split over the tensor axis.
#pragma once
#include "trainer/kernels/attention.h"
#include "trainer/model/attention.h"
#include "trainer/model/parallel_linear.h"

namespace lacuna {

class CrossAttention : public torch::nn::Module {
 public:
  CrossAttention(const ModelContext& context, const AttentionShape& shape);
  KeyValues read(const at::Tensor& states, const StreamLayout& stream) const;  // (B, S, D)
  // x (B, T, D) -> (B, T, D). No positions take part: what a state's place is, only the state itself can say.
  at::Tensor forward(const at::Tensor& x, const StreamLayout& stream, const KeyValues& memory,
                     const AttentionPattern& pattern) const;

 private:
  at::Tensor heads(const at::Tensor& y) const { return y.view({y.size(0), y.size(1), -1, head_size_}).transpose(1, 2); }

  int64_t head_size_;
  ColumnParallelLinears query_, memory_;
  std::shared_ptr<RowParallelLinear> output_;
};

}  // namespace lacuna
