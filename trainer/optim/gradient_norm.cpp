#include "trainer/optim/gradient_norm.h"

#include <ATen/ops/full_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "trainer/kernels/squared_norm.h"

namespace lacuna {

at::Tensor squared_gradient_norm(const FlatStorage& storage, Communicator& tensor_axis) {
  if (tensor_axis.size() == 1) return squared_norm(storage.gradients());  // gaps are zero
  auto sums = at::zeros({2}, storage.gradients().options().dtype(at::kDouble));
  auto whole = sums.narrow(0, 0, 1), sliced = sums.narrow(0, 1, 1);
  for (const auto& range : storage.ranges()) {
    (range.partitioned ? sliced : whole) += squared_norm(storage.gradients().narrow(0, range.offset, range.count));
  }
  tensor_axis.all_reduce(sliced, Reduce::sum);
  return whole + sliced;
}

GradientScale gradient_scale(const at::Tensor& squared_norm, const at::Tensor& count, const at::Tensor& loss, double limit) {
  const auto norm = squared_norm.sqrt() / count;
  auto scale = count.reciprocal();
  if (limit > 0) scale = scale * (limit / norm).clamp_max(1.0);
  const auto none = at::full_like(scale, std::numeric_limits<double>::quiet_NaN());
  return {norm, at::where(norm.isfinite().logical_and(loss.isfinite()), scale, none).to(at::kFloat)};
}

}  // namespace lacuna
