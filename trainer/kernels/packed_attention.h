// Attention that reads queries, keys and values where one product put them, and writes their gradients likewise, for fixed
// sequences of kernels; autograd sees none of it. bf16 on a GPU, by cuDNN.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

struct PackedAttentionShape {
  int64_t num_heads, num_kv_heads, head_size;
  bool causal = true;
  bool deterministic = false;  // of the gradients
};

// qkv (B, T, (H + 2 K) d) -> (B, T, H d); scores are scaled by 1/sqrt(d). statistics: what the derivative needs of the softmax.
at::Tensor packed_attention(const at::Tensor& qkv, const PackedAttentionShape& shape, at::Tensor& statistics);

// The gradient of qkv.
at::Tensor packed_attention_gradient(const at::Tensor& d_out, const at::Tensor& qkv, const at::Tensor& out,
                                     const at::Tensor& statistics, const PackedAttentionShape& shape);

}  // namespace lacuna
