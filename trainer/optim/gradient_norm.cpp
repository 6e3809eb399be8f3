#include "trainer/optim/gradient_norm.h"

#include <ATen/ops/zeros.h>

#include <cmath>

#include "trainer/kernels/squared_norm.h"

namespace lacuna {

double gradient_norm(const FlatStorage& storage, Communicator& tensor_axis) {
  double whole = 0, sliced = 0;
  for (const auto& range : storage.ranges()) {
    (range.partitioned ? sliced : whole) += squared_norm(storage.gradients().narrow(0, range.offset, range.count));
  }
  auto sum = at::zeros({1}, at::kDouble).fill_(sliced);
  tensor_axis.all_reduce(sum, Reduce::sum);
  return std::sqrt(whole + sum.item<double>());
}

}  // namespace lacuna
