#include "trainer/kernels/embedding.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstring>

namespace lacuna {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

class Embedding : public torch::autograd::Function<Embedding> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& ids, const at::Tensor& weight, int64_t first) {
    ctx->save_for_backward({ids, weight});
    ctx->saved_data["first"] = first;
    auto shape = ids.sizes().vec();
    shape.push_back(weight.size(1));
    auto rows = at::empty(shape, weight.options());
    const auto contiguous = ids.contiguous();
    const auto* id = contiguous.const_data_ptr<int32_t>();
    const auto* table = weight.const_data_ptr<float>();
    auto* out = rows.data_ptr<float>();
    const int64_t width = weight.size(1), count = weight.size(0);
    for (int64_t i = 0; i < contiguous.numel(); ++i, out += width) {
      const int64_t row = id[i] - first;
      if (row >= 0 && row < count) {
        std::memcpy(out, table + row * width, static_cast<size_t>(width) * sizeof(float));
      } else {
        std::memset(out, 0, static_cast<size_t>(width) * sizeof(float));
      }
    }
    return rows;
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto ids = saved[0].contiguous(), dy = gradients[0].contiguous();
    const auto& weight = saved[1];
    const bool in_place = weight.grad().defined();
    auto gradient = in_place ? weight.grad() : at::zeros_like(weight);
    const int64_t first = ctx->saved_data["first"].toInt(), width = weight.size(1), count = weight.size(0);
    const auto* id = ids.const_data_ptr<int32_t>();
    const auto* from = dy.const_data_ptr<float>();
    auto* table = gradient.data_ptr<float>();
    for (int64_t i = 0; i < ids.numel(); ++i, from += width) {
      const int64_t row = id[i] - first;
      if (row < 0 || row >= count) continue;
      float* to = table + row * width;
      for (int64_t d = 0; d < width; ++d) to[d] += from[d];
    }
    return {{}, in_place ? at::Tensor() : gradient, {}};
  }
};

}  // namespace

at::Tensor embedding(const at::Tensor& ids, const at::Tensor& weight, int64_t first) { return Embedding::apply(ids, weight, first); }

}  // namespace lacuna
