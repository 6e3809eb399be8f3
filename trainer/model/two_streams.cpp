#include "trainer/model/two_streams.h"

#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>

#include <cmath>

#include "trainer/kernels/joint_softmax.h"
#include "trainer/kernels/rms_norm.h"
#include "trainer/kernels/silu_gate.h"
#include "trainer/parallel/collectives.h"

namespace lacuna {
namespace {

// What the halves behind the mixing of heads make of (B, H, T, d): the residual stream x with both added.
at::Tensor rest_of_block(const at::Tensor& x, const at::Tensor& mixed, const StreamWeights& w, const StreamShape& shape) {
  const auto joined = mixed.transpose(1, 2).flatten(2);
  const auto middle = x + reduce_from_axis(at::linear(joined, w.output), *shape.axis);
  const auto normed = copy_to_axis(rms_norm(middle, w.feed_forward_norm, shape.norm_epsilon), *shape.axis);
  return middle + reduce_from_axis(at::linear(silu_gate(at::linear(normed, w.gate_up)), w.down), *shape.axis);
}

}  // namespace

Heads heads_of(const at::Tensor& x, const StreamWeights& w, const StreamShape& shape, const RotaryAngles& angles, double scale) {
  const auto normed = copy_to_axis(rms_norm(x, w.attention_norm, shape.norm_epsilon), *shape.axis);
  const auto parts = at::linear(normed, w.input).view({x.size(0), x.size(1), 3, -1, shape.head_size}).unbind(2);
  const auto heads = [&](size_t i) { return parts[i].transpose(1, 2); };
  return {.queries = rotary(heads(0), angles, scale), .keys = rotary(heads(1), angles), .values = heads(2).contiguous()};
}

at::Tensor observed_block(const at::Tensor& x, const Heads& heads, const StreamWeights& w, const StreamShape& shape,
                          const AttentionPattern& pattern) {
  return rest_of_block(x, attention(heads.queries, heads.keys, heads.values, pattern), w, shape);
}

at::Tensor candidate_block(const at::Tensor& candidates, const ObservedLayer& layer, const StreamWeights& w,
                           const StreamShape& shape, const RotaryAngles& angles, const at::Tensor& scores) {
  const auto own = heads_of(candidates, w, shape, angles, 1 / std::sqrt(static_cast<double>(shape.head_size)));
  const auto with_tokens = at::matmul(own.queries, layer.keys.transpose(-2, -1));
  const auto with_itself = (own.queries * own.keys).sum(-1, /*keepdim=*/true);
  const auto shares = joint_softmax(with_tokens, with_itself, scores);
  const auto mixed = at::matmul(shares.others, layer.values) + shares.own * own.values;
  return rest_of_block(candidates, mixed, w, shape);
}

}  // namespace lacuna
