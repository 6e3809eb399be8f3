// Token embedding whose table is split over the tensor axis by rows (Megatron-LM, Shoeybi et al. 2019, section 3).
#pragma once
#include "trainer/model/architecture.h"
#include "trainer/model/fused_halves.h"

namespace lacuna {

// ids (B, T) int32 -> the residual stream as `stream` says. The table is padded (head.h); a tied head shares weight().
class VocabParallelEmbedding : public torch::nn::Module {
 public:
  VocabParallelEmbedding(const ModelContext& context, int64_t hidden_size);
  at::Tensor forward(const at::Tensor& ids, const StreamLayout& stream) const;
  // The same with learned positions as one node, as the start of a residual stream; `position_table` (num_positions, D) may be
  // undefined; positions (B, T) int32, or undefined: 0..T-1.
  ResidualStream forward(const at::Tensor& ids, const StreamLayout& stream, const at::Tensor& position_table,
                         const at::Tensor& positions) const;
  const at::Tensor& weight() const { return weight_; }

 private:
  const Operations& operations_;
  at::Tensor weight_;
};

}  // namespace lacuna
