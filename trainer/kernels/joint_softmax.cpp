#include "trainer/kernels/joint_softmax.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/softmax.h>
#ifdef LACUNA_CUDA
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/csrc/autograd/custom_function.h>

#include "trainer/kernels/joint_softmax_cuda.h"
#include "trainer/kernels/tensor_checks.h"
#endif

namespace lacuna {

#ifdef LACUNA_CUDA
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr const char* kName = "joint_softmax";

cuda::JointSoftmax rows_of(const at::Tensor& scores) {
  return {.rows = scores.numel() / scores.size(-1),
          .keys = scores.size(-1),
          .heads = scores.size(1),
          .length = scores.size(2),
          .mask = nullptr,
          .mask_batch_stride = 0,
          .mask_row_stride = 0};
}

// The gradients of the scores, as functions of those of the shares and of the shares.
class JointSoftmaxSlope : public torch::autograd::Function<JointSoftmaxSlope> {
 public:
  static tensor_list forward(AutogradContext* ctx, const at::Tensor& by, const at::Tensor& own_by, const at::Tensor& others,
                             const at::Tensor& own) {
    ctx->save_for_backward({by, own_by, others, own});
    const auto out = at::empty_like(others), own_out = at::empty_like(own);
    cuda::joint_softmax_backward(rows_of(others), data_of(others), data_of(own), data_of(by), data_of(own_by),
                                 mutable_data_of(out), mutable_data_of(own_out), element_of(kName, others),
                                 c10::cuda::getCurrentCUDAStream());
    return {out, own_out};
  }
  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    require(!at::GradMode::is_enabled(), kName, "has no third derivative");
    const auto saved = ctx->get_saved_variables();
    const auto &by = saved[0], &own_by = saved[1], &others = saved[2], &own = saved[3];
    const auto of = gradients[0].contiguous(), own_of = gradients[1].contiguous();
    const auto d_by = at::empty_like(by), own_d_by = at::empty_like(own_by);
    const auto d_others = at::empty_like(others), d_own = at::empty_like(own);
    cuda::joint_softmax_backward_twice(rows_of(others),
                                       {.shares = data_of(others),
                                        .own_shares = data_of(own),
                                        .by = data_of(by),
                                        .own_by = data_of(own_by),
                                        .of = data_of(of),
                                        .own_of = data_of(own_of),
                                        .d_by = mutable_data_of(d_by),
                                        .own_d_by = mutable_data_of(own_d_by),
                                        .d_shares = mutable_data_of(d_others),
                                        .own_d_shares = mutable_data_of(d_own)},
                                       element_of(kName, others), c10::cuda::getCurrentCUDAStream());
    return {d_by, own_d_by, d_others, d_own};
  }
};

class JointSoftmax : public torch::autograd::Function<JointSoftmax> {
 public:
  static tensor_list forward(AutogradContext* ctx, const at::Tensor& scores, const at::Tensor& own, const at::Tensor& mask) {
    require_tensor(kName, "scores", scores, scores.sizes(), scores.scalar_type(), scores.device());
    require_tensor(kName, "own", own, {scores.size(0), scores.size(1), scores.size(2), 1}, scores.scalar_type(), scores.device());
    require(mask.dim() == 4 && mask.size(1) == 1 && mask.size(2) == scores.size(2) && mask.size(3) == scores.size(3) &&
                mask.stride(3) == 1 && mask.scalar_type() == at::kFloat && mask.device() == scores.device(),
            kName, "the mask is not (B or 1, 1, T, keys) float32 with rows without gaps");
    auto arguments = rows_of(scores);
    arguments.mask = mask.const_data_ptr<float>();
    arguments.mask_batch_stride = mask.size(0) == 1 ? 0 : mask.stride(0);
    arguments.mask_row_stride = mask.stride(2);
    const auto others = at::empty_like(scores), own_share = at::empty_like(own);
    cuda::joint_softmax(arguments, data_of(scores), data_of(own), mutable_data_of(others), mutable_data_of(own_share),
                        element_of(kName, scores), c10::cuda::getCurrentCUDAStream());
    ctx->save_for_backward({others, own_share});
    return {others, own_share};
  }
  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    auto found = JointSoftmaxSlope::apply(gradients[0].contiguous(), gradients[1].contiguous(), saved[0], saved[1]);
    return {found[0], found[1], at::Tensor()};
  }
};

}  // namespace
#endif

Shares joint_softmax_reference(const at::Tensor& scores, const at::Tensor& own, const at::Tensor& mask) {
  const auto masked = scores + mask;
  const auto joined = at::softmax(at::cat({masked, own.to(masked.scalar_type())}, -1), -1).to(scores.scalar_type());
  return {joined.narrow(-1, 0, scores.size(-1)), joined.narrow(-1, scores.size(-1), 1)};
}

Shares joint_softmax(const at::Tensor& scores, const at::Tensor& own, const at::Tensor& mask) {
#ifdef LACUNA_CUDA
  if (scores.is_cuda() && scores.scalar_type() != at::kDouble) {
    const auto shares = JointSoftmax::apply(scores.contiguous(), own.contiguous(), mask);
    return {shares[0], shares[1]};
  }
#endif
  return joint_softmax_reference(scores, own, mask);
}

}  // namespace lacuna
