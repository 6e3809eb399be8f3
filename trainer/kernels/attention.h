// Scaled dot-product attention behind one façade.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

// Who may look at whom, made once per forward pass and shared by all layers.
struct AttentionPattern {
  bool causal = true;     // key <= query, both counted from the end of the keys; used where `scores` is undefined
  at::Tensor scores;      // float, broadcastable to (B, H, T, keys): added to the scores, -inf where attention is not allowed
};

// q (B, H, T, d), k and v (B, K, keys, d) with K dividing H. Returns (B, H, T, d). Scores are scaled by 1/sqrt(d).
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionPattern& pattern);

}  // namespace lacuna
