// Dropout whose mask is a function of (seed, place in the network, row of the run's stream, position, dimension): the same
// whatever the ranks, the micro-batches or a resume.
#pragma once
#include <ATen/core/Tensor.h>

#include "data/random.h"

namespace lacuna {

// x (B, T, D); stream_positions (B) int64 on the host. Kept values are scaled by 1 / (1 - rate).
at::Tensor dropout(const at::Tensor& x, double rate, const Random& site, const at::Tensor& stream_positions);

}  // namespace lacuna
