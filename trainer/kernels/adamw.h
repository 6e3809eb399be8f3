// The AdamW update (Loshchilov and Hutter 2019, algorithm 2) over flat buffers in one pass.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

struct AdamWConstants {
  double beta1, beta2, epsilon;
};

// p -= lr * (m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon) + weight_decay * p), with m and v moved by scale * gradient.
// All flat float32 of one length, contiguous. `scalars` (3) float64: learning rate, 1 - beta1^t, 1 - beta2^t; `scale` (1) float32:
// where it is not finite only the gradients are written, which become zero in any case. Both on the same device, so that no step
// waits for the host.
void adamw(at::Tensor parameters, at::Tensor gradients, at::Tensor first, at::Tensor second, const AdamWConstants& constants,
           double weight_decay, const at::Tensor& scalars, const at::Tensor& scale);

}  // namespace lacuna
