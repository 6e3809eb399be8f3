// Row-wise pieces of a softmax cross-entropy whose columns may be split over ranks. Logits are float32, on a GPU also bfloat16;
// there softmax_rows_cuda.h has the loss of a whole vocabulary in one kernel.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

// Of each row of logits (N, C), over its first `real` columns: maximum, sum of exp(z - maximum), and the logit of the row's
// target where this rank has it (column target - first), else 0. Returns (N, 3) float32.
at::Tensor softmax_parts(const at::Tensor& logits, int64_t real, const at::Tensor& targets, int64_t first);

// The parts (ranks, N, 3) of several ranks joined into those of the whole row (N, 3).
at::Tensor combine_softmax_parts(const at::Tensor& parts);

// total (1) float64 += sum_i weights[i] * (maximum + log(sum) - target logit).
void add_weighted_loss(at::Tensor& total, const at::Tensor& parts, const at::Tensor& weights);

// In place: logits become weights[i] * (softmax - one-hot), 0 in the columns from `real` on. With z_loss, softmax times 1 + 2 z_loss lse,
// lse being the logarithm of the row's sum: the derivative of z_loss * lse^2 is added.
void softmax_gradient(at::Tensor& logits, int64_t real, const at::Tensor& targets, int64_t first, const at::Tensor& parts,
                      const at::Tensor& weights, double z_loss);

// All of the above for a vocabulary that one rank holds: total (1) float64 += the weighted losses and, with_gradient, the logits
// become their derivative. In one kernel on a device.
void add_softmax_loss(at::Tensor& total, at::Tensor& logits, int64_t real, const at::Tensor& targets, const at::Tensor& weights,
                      bool with_gradient, double z_loss);

}  // namespace lacuna
