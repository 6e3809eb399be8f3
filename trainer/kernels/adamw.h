// The AdamW update (Loshchilov and Hutter 2019, algorithm 2) over flat buffers in one pass.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

struct AdamWConstants {
  double beta1, beta2, epsilon;
};

// p -= lr * (m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon) + weight_decay * p), with m and v moved by clip * gradient.
// All flat float32 of one length, contiguous. `scalars` (4) float32 on the same device: learning rate, clip factor, 1 - beta1^t,
// 1 - beta2^t; being on the device, no step waits for the host.
void adamw(at::Tensor parameters, const at::Tensor& gradients, at::Tensor first, at::Tensor second, const AdamWConstants& constants,
           double weight_decay, const at::Tensor& scalars);

}  // namespace lacuna
