// The language head and its loss in one: hidden states to a weighted sum of cross-entropies, without ever storing the logits of
// more than a chunk of positions. The vocabulary may be split over the tensor axis (performance notes: one small all_gather a
// chunk instead of three reductions).
#pragma once
#include <ATen/core/Tensor.h>

#include "trainer/parallel/communicator.h"

namespace lacuna {

// Positions whose logits are held at a time on a device: so many that the weight's gradient, which every chunk reads and writes,
// does not count.
constexpr int64_t kLogitRowsOfDevice = 8192;

// states (N, D); weight (rows, D), this rank's rows of the padded table; targets (N) int32 in [0, vocabulary_size);
// weights (N) float32. Returns sum_i weights[i] * (logsumexp(states[i] W^T) - states[i] W[targets[i]]), ids at and beyond
// vocabulary_size having no probability. The same value on every rank of the axis; the gradient of `states` is this rank's part
// (pass states through copy_to_axis). Gradients are made in the forward pass, for one backward; the weight's are added to
// weight.grad() in place where it is set. z_loss: gradients are those of this plus sum_i weights[i] * z_loss * logsumexp_i^2, which
// keeps logits from drifting (Chowdhery et al. 2022, section 5); the value stays the cross-entropy, so that runs compare.
// chunk_rows: positions whose logits are stored at a time; 0 = what suits the device.
at::Tensor linear_cross_entropy(const at::Tensor& states, const at::Tensor& weight, const at::Tensor& targets,
                                const at::Tensor& weights, int64_t vocabulary_size, Communicator& axis, double z_loss = 0,
                                int64_t chunk_rows = 0);

// The same composed of ATen operations, with ordinary gradients and all logits in float32 on every rank: the oracle, and the path
// for second derivatives.
at::Tensor linear_cross_entropy_reference(const at::Tensor& states, const at::Tensor& weight, const at::Tensor& targets,
                                          const at::Tensor& weights, int64_t vocabulary_size, Communicator& axis, double z_loss = 0);

}  // namespace lacuna
