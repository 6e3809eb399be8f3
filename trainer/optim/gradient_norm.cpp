#include "trainer/optim/gradient_norm.h"

#include <ATen/ops/full_like.h>
#include <ATen/ops/where.h>

#include <limits>

#include "trainer/kernels/squared_norm.h"
#ifdef LACUNA_CUDA
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAStream.h>

#include "trainer/kernels/gradient_scale_cuda.h"
#endif

namespace lacuna {

at::Tensor squared_gradient_norm(const FlatStorage& storage, Mesh& mesh) {
  const auto& gradients = storage.gradients();
  if (!storage.is_sharded() && mesh.tensor().size() == 1) return squared_norm(gradients);  // gaps are zero
  at::Tensor sums;  // of what every tensor rank holds whole, and of slices
  for (const auto& range : storage.owned()) {
    const auto part = squared_norms(gradients.narrow(0, range.begin, range.count()), storage.partitioned(), range.begin);
    sums = sums.defined() ? sums.add_(part) : part;
  }
  if (mesh.tensor().rank() != 0) sums.narrow(0, 0, 1).zero_();
  (storage.is_sharded() ? mesh.world() : mesh.tensor()).all_reduce(sums, Reduce::sum);
  return sums.narrow(0, 0, 1) + sums.narrow(0, 1, 1);
}

GradientScale gradient_scale(const at::Tensor& squared_norm, const at::Tensor& count, const at::Tensor& loss, double limit) {
#ifdef LACUNA_CUDA
  if (squared_norm.is_cuda()) {
    GradientScale result{at::empty({1}, squared_norm.options()), at::empty({1}, squared_norm.options().dtype(at::kFloat))};
    cuda::gradient_scale(result.norm.data_ptr<double>(), result.scale.data_ptr<float>(), squared_norm.const_data_ptr<double>(),
                         count.const_data_ptr<double>(), loss.const_data_ptr<double>(), limit, c10::cuda::getCurrentCUDAStream());
    return result;
  }
#endif
  const auto norm = squared_norm.sqrt() / count;
  auto scale = count.reciprocal();
  if (limit > 0) scale = scale * (limit / norm).clamp_max(1.0);
  const auto none = at::full_like(scale, std::numeric_limits<double>::quiet_NaN());
  return {norm, at::where(norm.isfinite().logical_and(loss.isfinite()), scale, none).to(at::kFloat)};
}

}  // namespace lacuna
