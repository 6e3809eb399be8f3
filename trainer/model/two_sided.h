// What an architecture with an encoder costs where its two sides are not equally long, which its work() takes them to be.
#pragma once
#include <cstdint>

namespace lacuna {

class TwoSided {
 public:
  virtual ~TwoSided() = default;
  // Model FLOPs of training on one row, forward and backward: `source` slots of the encoder, `target` slots of the decoder, all of
  // which the head reads. Over all tensor ranks.
  virtual double flops_of_row(int64_t source, int64_t target) const = 0;
};

}  // namespace lacuna
