// Normalisation over the hidden size: LayerNorm (Ba et al. 2016) or RMSNorm (Zhang and Sennrich 2019).
#pragma once
#include "trainer/model/architecture.h"
#include "trainer/model/fused_halves.h"

namespace lacuna {

enum class NormKind { layer_norm, rms_norm };
constexpr std::array<std::string_view, 2> names_of(NormKind) { return {"layer_norm", "rms_norm"}; }

// x (..., D) -> (..., D). Its parameters are whole on every tensor rank.
class Norm : public torch::nn::Module {
 public:
  Norm(const ModelContext& context, NormKind kind, int64_t size, bool bias, double epsilon);
  at::Tensor forward(const at::Tensor& x) const;
  NormWeights weights() const;
  std::vector<at::Tensor> parameters() const;  // those it has

 private:
  NormKind kind_;
  double epsilon_;
  at::Tensor weight_, bias_;
};

}  // namespace lacuna
