// Readers of frozen features: how well a simple classifier tells classes from them.
#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace lacuna {

// linear: logistic regression on the last layer. mlp: one hidden layer of 256 on it. weighted: logistic regression on a sum of
// all layers whose weights, equal at first, are learnt with it (SUPERB, Yang et al. 2021, section 3).
enum class Readout { linear, mlp, weighted };
constexpr std::array<std::string_view, 3> names_of(Readout) { return {"linear", "mlp", "weighted"}; }

// Fits to `fit` (layers, N, F) with `labels` (N) int64 in [0, classes) and returns the classes (M) int64 that it gives to `test`
// (layers, M, F); all on the host, float64. Features are scaled to mean 0 and deviation 1 by those of `fit`. The L2 penalty is
// chosen on every fifth of the documents, where there are enough. Full-batch Adam; a function of its arguments.
at::Tensor read_out(Readout readout, const at::Tensor& fit, const at::Tensor& labels, const at::Tensor& test, int64_t classes);

// The class that most of the `k` nearest of `fit` (N, F) have, by cosine of features that are scaled likewise; of equally many
// the class of the nearest (M) int64.
at::Tensor nearest_class(const at::Tensor& fit, const at::Tensor& labels, const at::Tensor& test, int64_t k, int64_t classes);

// Adam (Kingma and Ba 2015) on a few tensors.
class SmallAdam {
 public:
  SmallAdam(std::vector<at::Tensor> parameters, double rate);
  // Undefined gradients leave their parameter as it is.
  void step(const std::vector<at::Tensor>& gradients);
  const std::vector<at::Tensor>& parameters() const { return parameters_; }

 private:
  std::vector<at::Tensor> parameters_, means_, squares_;
  double rate_;
  int64_t steps_ = 0;
};

}  // namespace lacuna
