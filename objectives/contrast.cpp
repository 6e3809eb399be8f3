#include "objectives/contrast.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/log_softmax.h>

namespace lacuna {

Contrast contrast(const at::Tensor& predictions, const at::Tensor& patches, const at::Tensor& weights, ContrastAxis axis) {
  // Row = who asks, column = candidate.
  const auto scores =
      axis == ContrastAxis::pred ? patches.bmm(predictions.transpose(1, 2)) : predictions.bmm(patches.transpose(1, 2));
  // Finite, so that a row without candidates gives no NaN, whose gradient a weight of 0 would not take away.
  const auto candidates = scores.masked_fill(weights.eq(0).unsqueeze(1), -1e30);
  const auto self = at::arange(scores.size(1), scores.options().dtype(at::kLong));
  return {.losses = -at::log_softmax(candidates, -1).diagonal(0, 1, 2),
          .correct = candidates.detach().argmax(-1).eq(self).to(at::kFloat)};
}

}  // namespace lacuna
