// What every layer of a network says, for probes that weigh layers (SUPERB, Yang et al. 2021).
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "data/batch.h"

namespace lacuna {

class LayerStates {
 public:
  virtual ~LayerStates() = default;
  // The residual stream before the first block and after each, num_layers + 1 tensors (B, T, D), the last one as the head reads
  // it.
  virtual std::vector<at::Tensor> layer_states(const Batch& batch) = 0;
};

}  // namespace lacuna
