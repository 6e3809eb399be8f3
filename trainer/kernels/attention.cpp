#include "trainer/kernels/attention.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros_like.h>

namespace lacuna {
namespace {

// x (B, H, T, d) as (B, T / block, H, block, d).
at::Tensor in_blocks(const at::Tensor& x, int64_t block) { return x.unflatten(2, {-1, block}).transpose(1, 2); }

// What each block looks at: (B, T / block, H, keys, d).
at::Tensor with_neighbours(const at::Tensor& blocks, bool looks_ahead) {
  const int64_t count = blocks.size(1);
  const auto none = at::zeros_like(blocks.narrow(1, 0, 1));
  std::vector<at::Tensor> parts{at::cat({none, blocks.narrow(1, 0, count - 1)}, 1), blocks};
  if (looks_ahead) parts.push_back(at::cat({blocks.narrow(1, 1, count - 1), none}, 1));
  return at::cat(parts, 3);
}

at::Tensor attention_in_blocks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionPattern& pattern) {
  const auto queries = in_blocks(q, pattern.block);
  const auto seen = [&](const at::Tensor& x) {
    return with_neighbours(in_blocks(x, pattern.block), pattern.looks_ahead).flatten(0, 1);
  };
  const auto mixed =
      at::scaled_dot_product_attention(queries.flatten(0, 1), seen(k), seen(v), pattern.scores.to(q.scalar_type()), 0.0, false);
  return mixed.view(queries.sizes()).transpose(1, 2).reshape(q.sizes());
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionPattern& pattern) {
  // Grouped heads are repeated by view: every group's queries share one key and value head.
  const int64_t group = q.size(1) / k.size(1);
  const auto spread = [&](const at::Tensor& x) {
    if (group == 1) return x;
    const auto s = x.sizes();
    return x.unsqueeze(2).expand({s[0], s[1], group, s[2], s[3]}).reshape({s[0], q.size(1), s[2], s[3]});
  };
  if (pattern.watch != nullptr) {
    auto unwatched = pattern;
    unwatched.watch = nullptr;
    const auto marks = pattern.watch->marked.to(v.scalar_type()).unsqueeze(1).unsqueeze(-1).expand_as(v);
    pattern.watch->masses.push_back(attention(q, k, marks, unwatched).select(-1, 0));
  }
  if (pattern.block > 0) return attention_in_blocks(q, spread(k), spread(v), pattern);
  if (pattern.scores.defined()) {
    return at::scaled_dot_product_attention(q, spread(k), spread(v), pattern.scores.to(q.scalar_type()), 0.0, false);
  }
  // One query at the end of the keys sees them all: causality takes nothing away.
  const bool causal = pattern.causal && q.size(2) > 1;
  return at::scaled_dot_product_attention(q, spread(k), spread(v), {}, 0.0, causal);
}

}  // namespace lacuna
