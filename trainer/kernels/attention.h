// Scaled dot-product attention behind one façade.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

namespace lacuna {

// Counts where attention falls, for who asks: how much of each query's probability lies on marked keys.
struct AttentionWatch {
  at::Tensor marked;               // (B or 1, keys) bool
  std::vector<at::Tensor> masses;  // (B, H, T) of each attention that ran, in their order
};

// Who may look at whom, made once per forward pass and shared by all layers.
struct AttentionPattern {
  bool causal = true;     // key <= query, both counted from the end of the keys; used where `scores` is undefined
  at::Tensor scores;      // float, broadcastable to (B, H, T, keys): added to the scores, -inf where attention is not allowed
  // Where not 0: only so many positions in a line, of which it divides T, look at one another: those of one block at those of it,
  // the block before it and, if `looks_ahead`, the block behind it. `scores` are then (B * T / block, 1, block, keys), with as
  // many keys as a block looks at, absent blocks included.
  int64_t block = 0;
  bool looks_ahead = false;
  AttentionWatch* watch = nullptr;  // null in training; not of blocks
};

// q (B, H, T, d), k and v (B, K, keys, d) with K dividing H. Returns (B, H, T, d). Scores are scaled by 1/sqrt(d).
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionPattern& pattern);

}  // namespace lacuna
