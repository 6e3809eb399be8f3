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

// x (B, H, T, d) turned and scaled; differentiable any number of times. On a device one pass, from whatever strides to (B, H, T, d)
// without gaps, and the gradient to (B, T, H, d), as the product that makes heads lays them out.
at::Tensor rotary(const at::Tensor& x, const RotaryAngles& angles, double scale = 1);
// The composition, on any device: the oracle.
at::Tensor rotary_reference(const at::Tensor& x, const RotaryAngles& angles, double scale = 1);

struct RotaryTable {
  at::Tensor cosine, sine;  // (num_positions, d/2) float32
};
RotaryTable rotary_table(int64_t num_positions, int64_t head_size, double base, at::Device device);

// Turns the query and key heads of qkv (B, T, (num_heads + 2 num_kv_heads) * d), fp32 or bf16, where they stand; the value heads
// stay. Positions are 0..T-1, or positions (B, T) int32; one outside of the table gives NaN on a device and an error on the CPU.
// `inverse` turns back, which is the derivative. Autograd sees none of it.
void turn_heads(const at::Tensor& qkv, int64_t num_heads, int64_t num_kv_heads, const RotaryTable& table,
                const at::Tensor& positions = {}, bool inverse = false);

}  // namespace lacuna
