// Rotary position embedding (Su et al., RoFormer, 2021, section 3.4), in the half-split pairing of GPT-NeoX and Llama:
// dimension i turns with dimension i + d/2 by the angle position * base^(-2i/d).
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

struct RotaryAngles {
  at::Tensor cosine, sine;  // (T, d) or (B, 1, T, d) float32
};

// positions (T) or (B, T), any integer type.
RotaryAngles rotary_angles(const at::Tensor& positions, int64_t head_size, double base);

// x (B, H, T, d) turned; differentiable.
at::Tensor rotary(const at::Tensor& x, const RotaryAngles& angles);

}  // namespace lacuna
