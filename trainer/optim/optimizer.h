// What turns gradients into new parameters, on flat buffers.
#pragma once
#include <ATen/core/Tensor.h>

#include <span>
#include <string>
#include <utility>
#include <vector>

namespace lacuna {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Update number `step` (from 1) at this learning rate, gradients scaled by `clip_factor`.
  virtual void step(int64_t step, double learning_rate, double clip_factor) = 0;
  virtual double learning_rate() const = 0;  // the base that a schedule scales
  virtual double clip_norm() const = 0;      // 0 = no clipping
  // Its state as (name, flat tensor laid out like the parameters), for checkpoints.
  virtual std::vector<std::pair<std::string, at::Tensor>> state() const = 0;
};

}  // namespace lacuna
