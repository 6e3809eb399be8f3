// From states to the values of a patch: linear, activation, linear.
#pragma once
#include "trainer/model/architecture.h"
#include "trainer/model/norm.h"

namespace lacuna {

// perceptron: Linear(D, D), ReLU, Linear(D, P), of SSAST. normalised: Linear(D, D), GELU, LayerNorm, Linear(D, P), of TERA.
enum class ValueHeadKind { perceptron, normalised };

// Whole on every tensor rank. states (..., D) -> (..., P) float32.
class ValueHead : public torch::nn::Module {
 public:
  ValueHead(const ModelContext& context, ValueHeadKind kind, int64_t hidden_size, int64_t patch_size);
  at::Tensor forward(const at::Tensor& states) const;

 private:
  const Operations& operations_;
  at::Tensor inner_weight_, inner_bias_, weight_, bias_;
  std::shared_ptr<Norm> norm_;  // null of a perceptron
};

}  // namespace lacuna
