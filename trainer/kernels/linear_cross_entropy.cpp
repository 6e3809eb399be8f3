#include "trainer/kernels/linear_cross_entropy.h"

#include <ATen/core/grad_mode.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "data/error.h"
#include "trainer/kernels/affine.h"
#include "trainer/kernels/scale.h"
#include "trainer/kernels/softmax_rows.h"
#include "trainer/parallel/collectives.h"

namespace lacuna {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Logits of one chunk on the CPU: a few megabytes, near the last-level cache.
constexpr int64_t kChunkElements = 1 << 21;

class LinearCrossEntropy : public torch::autograd::Function<LinearCrossEntropy> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& states, const at::Tensor& weight, const at::Tensor& targets,
                            const at::Tensor& weights, int64_t vocabulary_size, Communicator* axis, bool with_gradients,
                            double z_loss, int64_t chunk_rows) {
    const int64_t num_rows = states.size(0), local = weight.size(0), first = local * axis->rank();
    const int64_t real = std::clamp<int64_t>(vocabulary_size - first, 0, local);  // columns that are no padding
    if (chunk_rows == 0) chunk_rows = states.is_cpu() ? kChunkElements / local : kLogitRowsOfDevice;
    const int64_t chunk = std::clamp<int64_t>(chunk_rows, 1, num_rows);
    const auto sums = weights.options();  // float32
    at::Tensor state_gradient, head_gradient;
    if (with_gradients) {
      state_gradient = at::empty(states.sizes(), states.options());
      head_gradient = num_rows > 0 ? at::empty(weight.sizes(), sums) : at::zeros(weight.sizes(), sums);
    }
    auto total = at::zeros({1}, sums.dtype(at::kDouble));
    auto logits = at::empty({chunk, local}, states.options());
    for (int64_t begin = 0; begin < num_rows; begin += chunk) {
      const int64_t n = std::min(chunk, num_rows - begin);
      const auto x = states.narrow(0, begin, n), t = targets.narrow(0, begin, n), w = weights.narrow(0, begin, n);
      auto z = logits.narrow(0, 0, n);
      at::mm_out(z, x, weight.t());
      // From here z is d loss / d logits, where it is wanted.
      if (axis->size() == 1) {
        add_softmax_loss(total, z, real, t, w, with_gradients, z_loss);
      } else {
        const auto parts = combine(softmax_parts(z, real, t, first), *axis);
        add_weighted_loss(total, parts, w);
        if (with_gradients) softmax_gradient(z, real, t, first, parts, w, z_loss);
      }
      if (!with_gradients) continue;
      auto dx = state_gradient.narrow(0, begin, n);
      at::mm_out(dx, z, weight);
      weight_gradient(z, x, head_gradient, begin > 0);
    }
    if (with_gradients) ctx->save_for_backward({state_gradient, head_gradient, weight});
    return total.squeeze(0).to(at::kFloat);
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    if (ctx->saved_data.count("used") > 0)
      throw Error(ExitCode::internal, "linear_cross_entropy: one backward has its gradients");
    ctx->saved_data["used"] = true;
    const auto saved = ctx->get_saved_variables();
    const auto factor = gradients[0].to(at::kFloat);
    auto states = saved[0], head = saved[1];
    scale(states, factor);
    auto sum = saved[2].grad();
    if (sum.defined()) {
      sum.addcmul_(head, factor);
      head.reset();
    } else {
      scale(head, factor);
    }
    return {states, head, {}, {}, {}, {}, {}, {}, {}};
  }

 private:
  // Every rank's (maximum, sum of exponentials, target logit) of each row, joined: (N, 3) -> (N, 3).
  static at::Tensor combine(const at::Tensor& parts, Communicator& axis) {
    auto gathered = at::empty({axis.size(), parts.size(0), 3}, parts.options());
    axis.all_gather(gathered, parts);
    return combine_softmax_parts(gathered);
  }
};

}  // namespace

at::Tensor linear_cross_entropy(const at::Tensor& states, const at::Tensor& weight, const at::Tensor& targets,
                                const at::Tensor& weights, int64_t vocabulary_size, Communicator& axis, double z_loss,
                                int64_t chunk_rows) {
  // Inside Function::forward grad mode is off, so whether gradients are wanted is asked here.
  const bool with_gradients = at::GradMode::is_enabled() && (states.requires_grad() || weight.requires_grad());
  return LinearCrossEntropy::apply(states.contiguous(), weight, targets.contiguous(), weights.contiguous(), vocabulary_size,
                                   &axis, with_gradients, z_loss, chunk_rows);
}

at::Tensor linear_cross_entropy_reference(const at::Tensor& states, const at::Tensor& weight, const at::Tensor& targets,
                                          const at::Tensor& weights, int64_t vocabulary_size, Communicator& axis, double z_loss) {
  const auto all = gather_from_axis(at::linear(states, weight), axis);
  const auto logits = all.narrow(-1, 0, vocabulary_size).to(at::promote_types(all.scalar_type(), at::kFloat));
  const auto losses = at::cross_entropy_loss(logits.flatten(0, -2), targets.flatten().to(at::kLong), {}, at::Reduction::None);
  if (z_loss == 0) return (weights.flatten() * losses).sum();
  const auto drift = z_loss * logits.flatten(0, -2).logsumexp(-1).square();
  return (weights.flatten() * (losses + drift - drift.detach())).sum();
}

}  // namespace lacuna
