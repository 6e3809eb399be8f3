// What an architecture with an encoder says of its two sides, which the socket of all architectures takes for one.
#pragma once
#include <cstdint>

#include "trainer/model/architecture.h"

namespace lacuna {

class TwoSided {
 public:
  virtual ~TwoSided() = default;

  // The states of both sides in one pass: of the decoder (B, T, D), as forward() gives them, and of the encoder (B, S, D), ready
  // for the head.
  struct States {
    at::Tensor target, source;
  };
  virtual States forward_both(const Batch& batch) = 0;
  // Whether a state of the encoder sees nothing behind it, so that it may be asked for what follows.
  virtual bool source_is_causal() const = 0;
  // Whether parameters of the encoder learn from losses on its own states alone, since the decoder reads nothing that they make.
  virtual bool source_needs_loss() const = 0;

  // Model FLOPs of training on one row, forward and backward: `source` slots of the encoder, `target` slots of the decoder, all
  // of which the head reads. Over all tensor ranks.
  virtual double flops_of_row(int64_t source, int64_t target) const = 0;
  // What is added where the head reads the encoder's states too.
  virtual double flops_of_source_loss(int64_t source) const = 0;
};

}  // namespace lacuna
