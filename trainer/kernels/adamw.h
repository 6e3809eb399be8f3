// The AdamW update (Loshchilov and Hutter 2019, algorithm 2) over flat buffers in one pass.
#pragma once
#include <ATen/core/Tensor.h>

#include <limits>

namespace lacuna {

struct AdamWConstants {
  double beta1, beta2, epsilon;
  double rate = 1;                                            // times the learning rate
  double minimum = -std::numeric_limits<double>::infinity();  // no update leaves a parameter below
};

// Ranges of the flat buffers, all of one length and on one device, float32 but for the copy.
struct AdamWBuffers {
  at::Tensor parameters, gradients, first, second;
  // On a device alone: a bf16 copy of the parameters to be written besides; which lines of the whole buffer decay (int32, the
  // bits of line_mask.h; undefined: all); and where in that buffer the ranges begin.
  at::Tensor copy, decays;
  int64_t begin = 0;
};

// p -= lr * (m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon) + weight_decay * p), with m and v moved by scale * gradient;
// the gradients become zero; lr is that of `scalars` times constants.rate. `scalars` (4) float32 on the same device, so that no step waits for the host: lr, scale, 1 - beta1^t,
// 1 - beta2^t. Where the scale is not finite only the gradients are written.
void adamw(const AdamWBuffers& buffers, const AdamWConstants& constants, double weight_decay, const at::Tensor& scalars);

}  // namespace lacuna
