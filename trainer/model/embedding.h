// Token embedding whose table is split over the tensor axis by rows (Megatron-LM, Shoeybi et al. 2019, section 3).
#pragma once
#include "trainer/model/architecture.h"

namespace lacuna {

// ids (B, T) int32 -> (B, T, D), whole on every rank. The table is padded (head.h); a tied head shares weight().
class VocabParallelEmbedding : public torch::nn::Module {
 public:
  VocabParallelEmbedding(const ModelContext& context, int64_t hidden_size);
  at::Tensor forward(const at::Tensor& ids) const;
  const at::Tensor& weight() const { return weight_; }

 private:
  Communicator& axis_;
  at::Tensor weight_;
};

}  // namespace lacuna
