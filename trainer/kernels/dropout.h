// Dropout whose mask is a function of (seed, place in the network, row of the run's stream, position, dimension): the same
// whatever the ranks, the micro-batches or a resume.
#pragma once
#include <ATen/core/Tensor.h>

#include "data/random.h"

namespace lacuna {

// x (B, T, D) float32; stream_positions (B) int64, on the host where x is there. Kept values are scaled by 1 / (1 - rate).
at::Tensor dropout(const at::Tensor& x, double rate, const Random& site, const at::Tensor& stream_positions);

// residual + dropout(x) in one pass, fp32 or bf16, all on one device, stream_positions too; without a residual dropout(x) alone,
// which of dy is the derivative: the mask is drawn again. `out` may be given, and may be x or the residual. Autograd sees none of
// it.
at::Tensor add_dropout(const at::Tensor& residual, const at::Tensor& x, double rate, const Random& site,
                       const at::Tensor& stream_positions, at::Tensor out = {});

}  // namespace lacuna
