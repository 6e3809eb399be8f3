// One update of an optimizer with numbers of the host.
#pragma once
#include <ATen/ops/full.h>

#include "trainer/optim/gradient_norm.h"
#include "trainer/optim/optimizer.h"

namespace lacuna::testing {

inline void update(Optimizer& optimizer, int64_t step, double rate, double scale) {
  optimizer.begin(step, rate);
  optimizer.update(at::full({1}, scale, at::kFloat));
}

inline at::Tensor number(double value) { return at::full({1}, value, at::kDouble); }

inline double gradient_norm(const FlatStorage& storage, Mesh& mesh) {
  return std::sqrt(squared_gradient_norm(storage, mesh).item<double>());
}

}  // namespace lacuna::testing
