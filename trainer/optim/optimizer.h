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
  // From the host, before update(): the number of the update (from 1) and its learning rate. On a device they travel there
  // behind the work already queued.
  virtual void begin(int64_t step, double learning_rate) = 0;
  // Moves the parameters by the gradients times `scale` (1) float32, on the gradients' device, without the host, and clears the
  // gradients. Where the scale is not finite no parameter is changed. A rank that owns shards moves those alone.
  virtual void update(const at::Tensor& scale) = 0;
  virtual double learning_rate() const = 0;  // the base that a schedule scales
  virtual double clip_norm() const = 0;      // 0 = no clipping
  // Its state as (name, flat tensor of the ranges that this rank owns: FlatStorage::owned), for checkpoints.
  virtual std::vector<std::pair<std::string, at::Tensor>> state() const = 0;
};

}  // namespace lacuna
