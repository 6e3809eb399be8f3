#include "trainer/kernels/attention.h"

#include <ATen/ops/scaled_dot_product_attention.h>

namespace lacuna {

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionPattern& pattern) {
  // Grouped heads are repeated by view: every group's queries share one key and value head.
  const int64_t group = q.size(1) / k.size(1);
  const auto spread = [&](const at::Tensor& x) {
    if (group == 1) return x;
    const auto s = x.sizes();
    return x.unsqueeze(2).expand({s[0], s[1], group, s[2], s[3]}).reshape({s[0], q.size(1), s[2], s[3]});
  };
  if (pattern.scores.defined()) {
    return at::scaled_dot_product_attention(q, spread(k), spread(v), pattern.scores.to(q.scalar_type()), 0.0, false);
  }
  // One query at the end of the keys sees them all: causality takes nothing away.
  const bool causal = pattern.causal && q.size(2) > 1;
  return at::scaled_dot_product_attention(q, spread(k), spread(v), {}, 0.0, causal);
}

}  // namespace lacuna
