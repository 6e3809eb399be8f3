// Activations made twice instead of kept (Chen et al. 2016), for what is composed of ordinary operations.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>

namespace lacuna {

// body(x), of which the graph keeps x alone: backward runs the body again, which must compute the same again, and then its
// backward. x must require a gradient, and be all that the body reads of the graph outside; parameters are leaves.
at::Tensor recomputed(const at::Tensor& x, std::function<at::Tensor(const at::Tensor&)> body);

}  // namespace lacuna
