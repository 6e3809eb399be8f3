#include "trainer/kernels/rms_norm.h"

#include <ATen/ops/rsqrt.h>
#ifdef LACUNA_CUDA
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/csrc/autograd/custom_function.h>

#include "trainer/kernels/rms_norm_cuda.h"
#include "trainer/kernels/tensor_checks.h"
#endif

namespace lacuna {

#ifdef LACUNA_CUDA
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr const char* kName = "rms_norm";

cuda::RmsNorm arguments(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  require_tensor(kName, "x", x, x.sizes(), x.scalar_type(), x.device());
  require_tensor(kName, "weight", weight, {x.size(-1)}, x.scalar_type(), x.device());
  return {.rows = x.numel() / x.size(-1),
          .width = x.size(-1),
          .epsilon = static_cast<float>(epsilon),
          .x = data_of(x),
          .weight = data_of(weight)};
}

at::Tensor added_up(const at::Tensor& rows) { return rows.flatten(0, -2).sum(0); }

// The gradient of x, as a function of what it is made of.
class RmsNormSlope : public torch::autograd::Function<RmsNormSlope> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                            double epsilon) {
    ctx->save_for_backward({dy, x, weight});
    ctx->saved_data["epsilon"] = epsilon;
    const auto dx = at::empty_like(x);
    cuda::rms_norm_backward(arguments(x, weight, epsilon), data_of(dy), mutable_data_of(dx), nullptr, element_of(kName, x),
                            c10::cuda::getCurrentCUDAStream());
    return dx;
  }
  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    require(!at::GradMode::is_enabled(), kName, "has no third derivative");
    const auto saved = ctx->get_saved_variables();
    const auto &dy = saved[0], &x = saved[1], &weight = saved[2];
    const auto v = gradients[0].contiguous();
    const auto d_dy = at::empty_like(dy), d_x = at::empty_like(x);
    const auto rows = ctx->needs_input_grad(2) ? at::empty_like(x) : at::Tensor();
    cuda::rms_norm_backward_twice(arguments(x, weight, ctx->saved_data["epsilon"].toDouble()), data_of(dy), data_of(v),
                                  mutable_data_of(d_dy), mutable_data_of(d_x), mutable_data_of(rows), element_of(kName, x),
                                  c10::cuda::getCurrentCUDAStream());
    return {d_dy, d_x, rows.defined() ? added_up(rows) : at::Tensor(), {}};
  }
};

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight, double epsilon) {
    ctx->save_for_backward({x, weight});
    ctx->saved_data["epsilon"] = epsilon;
    const auto y = at::empty_like(x);
    cuda::rms_norm(arguments(x, weight, epsilon), mutable_data_of(y), element_of(kName, x), c10::cuda::getCurrentCUDAStream());
    return y;
  }
  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1];
    const double epsilon = ctx->saved_data["epsilon"].toDouble();
    const auto dy = gradients[0].contiguous();
    if (!ctx->needs_input_grad(1)) return {RmsNormSlope::apply(dy, x, weight, epsilon), {}, {}};
    require(!at::GradMode::is_enabled(), kName, "the weight's gradient has no derivative");
    const auto dx = at::empty_like(x), rows = at::empty_like(x);
    cuda::rms_norm_backward(arguments(x, weight, epsilon), data_of(dy), mutable_data_of(dx), mutable_data_of(rows),
                            element_of(kName, x), c10::cuda::getCurrentCUDAStream());
    return {dx, added_up(rows), {}};
  }
};

}  // namespace
#endif

at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  const auto wide = x.to(at::promote_types(x.scalar_type(), at::kFloat));
  return (wide * at::rsqrt((wide * wide).mean(-1, /*keepdim=*/true) + epsilon)).to(x.scalar_type()) * weight;
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
#ifdef LACUNA_CUDA
  if (x.is_cuda() && x.scalar_type() != at::kDouble) return RmsNorm::apply(x.contiguous(), weight, epsilon);
#endif
  return rms_norm_reference(x, weight, epsilon);
}

}  // namespace lacuna
