#include "trainer/kernels/patch_stem.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/where.h>
#ifdef LACUNA_CUDA
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "trainer/kernels/patch_stem_cuda.h"
#include "trainer/kernels/tensor_checks.h"
#endif

namespace lacuna {

#ifdef LACUNA_CUDA
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr const char* kName = "patch_stem";

int64_t num_class_tokens(const PatchStem& w) { return w.class_tokens.defined() ? w.class_tokens.size(0) : 0; }

cuda::PatchStemShape shape_of(const at::Tensor& patches, const at::Tensor& masked, const PatchStem& w) {
  return {.rows = patches.size(0),
          .length = patches.size(1),
          .num_class_tokens = num_class_tokens(w),
          .width = patches.size(2),
          .masked = masked.defined() ? masked.const_data_ptr<bool>() : nullptr};
}

void check(const at::Tensor& patches, const at::Tensor& masked, const PatchStem& w) {
  const auto type = patches.scalar_type();
  const auto device = patches.device();
  require(patches.dim() == 3 && w.position.dim() == 2 && w.position.size(0) >= patches.size(1), kName,
          "patches must be (B, T, D), the positions at least T rows");
  require_tensor(kName, "patches", patches, patches.sizes(), type, device);
  if (masked.defined()) require_tensor(kName, "masked", masked, {patches.size(0), patches.size(1)}, at::kBool, device);
  require_tensor(kName, "mask", w.mask, {patches.size(2)}, type, device);
  require_tensor(kName, "position", w.position, {w.position.size(0), patches.size(2)}, type, device);
  if (w.class_tokens.defined()) {
    require_tensor(kName, "class_tokens", w.class_tokens, {w.class_tokens.size(0), patches.size(2)}, type, device);
  }
}

std::vector<at::Tensor> parameters_of(const PatchStem& w) {
  std::vector<at::Tensor> all{w.mask, w.position};
  if (w.class_tokens.defined()) all.push_back(w.class_tokens);
  return all;
}

class Stem : public torch::autograd::Function<Stem> {
 public:
  // Autograd is told of the parameters, so that it says when their gradients are whole.
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& patches, const std::optional<at::Tensor>& masked,
                            at::TensorList parameters, const PatchStem* weights) {
    const auto mask = masked.value_or(at::Tensor());
    check(patches, mask, *weights);
    const auto shape = shape_of(patches, mask, *weights);
    auto out = at::empty({shape.rows, shape.num_class_tokens + shape.length, shape.width}, patches.options());
    cuda::patch_stem(shape, data_of(patches), data_of(weights->mask), data_of(weights->position), data_of(weights->class_tokens),
                     mutable_data_of(out), element_of(kName, patches), c10::cuda::getCurrentCUDAStream());
    ctx->saved_data["masked"] = masked;
    std::vector<at::Tensor> gradients;
    for (const auto& parameter : parameters) gradients.push_back(parameter.grad());
    ctx->saved_data["gradients"] = gradients;
    return out;
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    const auto d_out = gradients[0].contiguous();
    const auto masked = ctx->saved_data["masked"].toOptional<at::Tensor>().value_or(at::Tensor());
    const auto own = ctx->saved_data["gradients"].toTensorVector();
    const PatchStem d{.mask = own[0], .position = own[1], .class_tokens = own.size() > 2 ? own[2] : at::Tensor()};
    const auto d_patches = at::empty({d_out.size(0), d_out.size(1) - num_class_tokens(d), d_out.size(2)}, d_out.options());
    const auto shape = shape_of(d_patches, masked, d);
    const auto workspace = at::empty({shape.length, shape.width}, d.mask.options());
    cuda::patch_stem_backward(shape, data_of(d_out), mutable_data_of(d_patches),
                              {.mask = mutable_data_of<float>(d.mask),
                               .position = mutable_data_of<float>(d.position),
                               .class_tokens = mutable_data_of<float>(d.class_tokens)},
                              workspace.mutable_data_ptr<float>(), element_of(kName, d_out),
                              c10::cuda::getCurrentCUDAStream());
    tensor_list result(3 + own.size());  // of patches, masked, parameters and weights
    result[0] = d_patches;
    return result;
  }
};

bool have_gradients(const std::vector<at::Tensor>& parameters) {
  return std::all_of(parameters.begin(), parameters.end(), [](const at::Tensor& p) { return p.grad().defined(); });
}

}  // namespace
#endif

at::Tensor patch_stem(const at::Tensor& patches, const at::Tensor& masked, const PatchStem& weights) {
#ifdef LACUNA_CUDA
  const auto parameters = parameters_of(weights);
  if (patches.is_cuda() && at::GradMode::is_enabled() && have_gradients(parameters)) {
    return Stem::apply(patches.contiguous(), masked.defined() ? std::optional(masked.contiguous()) : std::nullopt,
                       at::TensorList(parameters), &weights);
  }
#endif
  return patch_stem_reference(patches, masked, weights);
}

at::Tensor patch_stem_reference(const at::Tensor& patches, const at::Tensor& masked, const PatchStem& w) {
  const auto chosen = masked.defined() ? at::where(masked.unsqueeze(-1), w.mask, patches) : patches;
  const auto placed = chosen + w.position.narrow(0, 0, patches.size(1));
  if (!w.class_tokens.defined()) return placed;
  return at::cat({w.class_tokens.unsqueeze(0).expand({patches.size(0), -1, -1}), placed}, 1);
}

}  // namespace lacuna
