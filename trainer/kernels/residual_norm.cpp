#include "trainer/kernels/residual_norm.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include "trainer/kernels/tensor_checks.h"
#ifdef LACUNA_CUDA
#include <c10/cuda/CUDAStream.h>

#include "trainer/kernels/residual_norm_cuda.h"
#endif

namespace lacuna {
namespace {

struct Shape {
  int64_t rows, width;
};

Shape shape_of(const char* kernel, const at::Tensor& x, const NormParameters& parameters) {
  require(x.dim() > 0 && x.size(-1) > 0, kernel, "an activation needs a last dimension that is not empty");
  const int64_t width = x.size(-1);
  require_tensor(kernel, "weight", parameters.weight, {width}, x.scalar_type(), x.device());
  if (parameters.bias.defined()) require_tensor(kernel, "bias", parameters.bias, {width}, x.scalar_type(), x.device());
  return {x.numel() / width, width};
}

void require_state(const char* kernel, const NormState& state, const NormParameters& parameters, const Shape& shape) {
  const auto device = state.sum.device();
  require_tensor(kernel, "rstd", state.rstd, {shape.rows}, at::kFloat, device);
  if (parameters.centred) require_tensor(kernel, "mean", state.mean, {shape.rows}, at::kFloat, device);
}

// The composition of ATen operations, for the CPU.
at::Tensor normalized(const NormState& state) {
  const auto column = [&](const at::Tensor& statistic) {
    auto sizes = state.sum.sizes().vec();
    sizes.back() = 1;
    return statistic.view(sizes);
  };
  auto x = state.sum.to(at::kFloat);
  if (state.mean.defined()) x = x - column(state.mean);
  return x * column(state.rstd);
}

void scale(const NormState& state, const NormParameters& parameters, at::Tensor& normed) {
  auto y = normalized(state) * parameters.weight.to(at::kFloat);
  if (parameters.bias.defined()) y += parameters.bias.to(at::kFloat);
  normed.copy_(y);
}

}  // namespace

at::Tensor residual_norm(const at::Tensor& residual, const at::Tensor& delta, const NormParameters& parameters, NormState& state,
                         at::Tensor normed) {
  const at::NoGradGuard no_grad;
  constexpr const char* kName = "residual_norm";
  const auto [rows, width] = shape_of(kName, residual, parameters);
  const auto type = residual.scalar_type();
  const auto device = residual.device();
  require_tensor(kName, "residual", residual, residual.sizes(), type, device);
  if (delta.defined()) require_tensor(kName, "delta", delta, residual.sizes(), type, device);
  if (!delta.defined() && !state.sum.defined()) state.sum = residual;
  state.sum = given_or_new(kName, "sum", state.sum, residual.sizes(), type, device);
  state.rstd = given_or_new(kName, "rstd", state.rstd, {rows}, at::kFloat, device);
  state.mean = parameters.centred ? given_or_new(kName, "mean", state.mean, {rows}, at::kFloat, device) : at::Tensor();
  normed = given_or_new(kName, "normed", normed, residual.sizes(), type, device);
#ifdef LACUNA_CUDA
  if (residual.is_cuda()) {
    cuda::residual_norm({.rows = rows,
                         .width = width,
                         .residual = data_of(residual),
                         .delta = data_of(delta),
                         .weight = data_of(parameters.weight),
                         .bias = data_of(parameters.bias),
                         .sum = mutable_data_of(state.sum),
                         .normed = mutable_data_of(normed),
                         .mean = mutable_data_of<float>(state.mean),
                         .rstd = mutable_data_of<float>(state.rstd),
                         .epsilon = static_cast<float>(parameters.epsilon)},
                        element_of(kName, residual), c10::cuda::getCurrentCUDAStream());
    return normed;
  }
#endif
  if (delta.defined()) {
    state.sum.copy_(residual + delta);
  } else if (!state.sum.is_same(residual)) {
    state.sum.copy_(residual);
  }
  auto x = state.sum.to(at::kFloat).view({rows, width});
  if (parameters.centred) {
    state.mean.copy_(x.mean(-1));
    x = x - state.mean.unsqueeze(-1);
  }
  state.rstd.copy_((x.square().mean(-1) + parameters.epsilon).rsqrt());
  scale(state, parameters, normed);
  return normed;
}

at::Tensor renormed(const NormState& state, const NormParameters& parameters, at::Tensor normed) {
  const at::NoGradGuard no_grad;
  constexpr const char* kName = "renormed";
  const auto shape = shape_of(kName, state.sum, parameters);
  require_tensor(kName, "sum", state.sum, state.sum.sizes(), state.sum.scalar_type(), state.sum.device());
  require_state(kName, state, parameters, shape);
  normed = given_or_new(kName, "normed", normed, state.sum.sizes(), state.sum.scalar_type(), state.sum.device());
#ifdef LACUNA_CUDA
  if (state.sum.is_cuda()) {
    cuda::renormed({.rows = shape.rows,
                    .width = shape.width,
                    .sum = data_of(state.sum),
                    .weight = data_of(parameters.weight),
                    .bias = data_of(parameters.bias),
                    .mean = static_cast<const float*>(data_of(state.mean)),
                    .rstd = static_cast<const float*>(data_of(state.rstd)),
                    .normed = mutable_data_of(normed)},
                   element_of(kName, state.sum), c10::cuda::getCurrentCUDAStream());
    return normed;
  }
#endif
  scale(state, parameters, normed);
  return normed;
}

at::Tensor residual_norm_backward(const at::Tensor& d_normed, const at::Tensor& d_sum, const NormState& state,
                                  const NormParameters& parameters, const NormGradients& gradients, at::Tensor d) {
  const at::NoGradGuard no_grad;
  constexpr const char* kName = "residual_norm_backward";
  const auto& sum = state.sum;
  const auto shape = shape_of(kName, sum, parameters);
  const auto type = sum.scalar_type();
  const auto device = sum.device();
  require_tensor(kName, "sum", sum, sum.sizes(), type, device);
  require_state(kName, state, parameters, shape);
  require_tensor(kName, "d_normed", d_normed, sum.sizes(), type, device);
  if (d_sum.defined()) require_tensor(kName, "d_sum", d_sum, sum.sizes(), type, device);
  require_tensor(kName, "gradients.weight", gradients.weight, {shape.width}, at::kFloat, device);
  if (gradients.bias.defined()) require_tensor(kName, "gradients.bias", gradients.bias, {shape.width}, at::kFloat, device);
  if (gradients.d_sums.defined()) require_tensor(kName, "gradients.d_sums", gradients.d_sums, {shape.width}, at::kFloat, device);
  require(parameters.centred || !gradients.bias.defined(), kName, "RMSNorm has no gradient of a bias");
  d = given_or_new(kName, "d", d, sum.sizes(), type, device);
#ifdef LACUNA_CUDA
  if (sum.is_cuda()) {
    const auto bytes = cuda::residual_norm_backward_workspace(shape.width);
    const auto workspace = at::empty({static_cast<int64_t>(bytes / sizeof(float))}, state.rstd.options());
    cuda::residual_norm_backward({.rows = shape.rows,
                                  .width = shape.width,
                                  .d_normed = data_of(d_normed),
                                  .d_sum = data_of(d_sum),
                                  .sum = data_of(sum),
                                  .weight = data_of(parameters.weight),
                                  .mean = static_cast<const float*>(data_of(state.mean)),
                                  .rstd = static_cast<const float*>(data_of(state.rstd)),
                                  .d = mutable_data_of(d),
                                  .d_weight = mutable_data_of<float>(gradients.weight),
                                  .d_bias = mutable_data_of<float>(gradients.bias),
                                  .column_sums = mutable_data_of<float>(gradients.d_sums),
                                  .workspace = mutable_data_of<float>(workspace)},
                                 element_of(kName, sum), c10::cuda::getCurrentCUDAStream());
    return d;
  }
#endif
  const auto rows = [&](const at::Tensor& x) { return x.to(at::kFloat).view({shape.rows, shape.width}); };
  const auto dy = rows(d_normed), x_hat = rows(normalized(state));
  gradients.weight.add_((dy * x_hat).sum(0));
  if (gradients.bias.defined()) gradients.bias.add_(dy.sum(0));
  const auto g = dy * parameters.weight.to(at::kFloat);
  auto through = g - x_hat * (g * x_hat).mean(-1, true);
  if (parameters.centred) through = through - g.mean(-1, true);
  through = through * state.rstd.unsqueeze(-1);
  if (d_sum.defined()) through = through + rows(d_sum);
  if (gradients.d_sums.defined()) gradients.d_sums.add_(through.sum(0));
  d.copy_(through.view(sum.sizes()));
  return d;
}

}  // namespace lacuna
