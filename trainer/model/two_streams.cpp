#include "trainer/model/two_streams.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>

#include <cmath>

#include "trainer/parallel/collectives.h"

namespace lacuna {
namespace {

// (B, T, H d) -> (B, H, T, d)
at::Tensor heads(const at::Tensor& x, const StreamShape& shape) {
  return x.view({x.size(0), x.size(1), -1, shape.head_size}).transpose(1, 2);
}

// What the halves behind the mixing of heads make of (B, H, T, d): the residual stream x with both added.
at::Tensor rest_of_block(const at::Tensor& x, const at::Tensor& mixed, const StreamWeights& w, const StreamShape& shape) {
  const auto joined = mixed.transpose(1, 2).flatten(2);
  const auto middle = x + reduce_from_axis(at::linear(joined, w.output), *shape.axis);
  const auto normed = copy_to_axis(rms_normed(middle, w.feed_forward_norm, shape.norm_epsilon), *shape.axis);
  const auto inner = at::silu(at::linear(normed, w.gate)) * at::linear(normed, w.up);
  return middle + reduce_from_axis(at::linear(inner, w.down), *shape.axis);
}

}  // namespace

at::Tensor rms_normed(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  const auto wide = x.to(at::promote_types(x.scalar_type(), at::kFloat));
  return (wide * at::rsqrt((wide * wide).mean(-1, /*keepdim=*/true) + epsilon)).to(x.scalar_type()) * weight;
}

ObservedLayer observed_layer(const at::Tensor& x, const StreamWeights& w, const StreamShape& shape, const RotaryAngles& angles) {
  const auto normed = copy_to_axis(rms_normed(x, w.attention_norm, shape.norm_epsilon), *shape.axis);
  return {.normed = normed,
          .keys = rotary(heads(at::linear(normed, w.key), shape), angles),
          .values = heads(at::linear(normed, w.value), shape)};
}

at::Tensor observed_block(const at::Tensor& x, const ObservedLayer& layer, const StreamWeights& w, const StreamShape& shape,
                          const RotaryAngles& angles, const AttentionPattern& pattern) {
  const auto queries = rotary(heads(at::linear(layer.normed, w.query), shape), angles);
  return rest_of_block(x, attention(queries, layer.keys, layer.values, pattern), w, shape);
}

at::Tensor candidate_block(const at::Tensor& candidates, const ObservedLayer& layer, const StreamWeights& w,
                           const StreamShape& shape, const RotaryAngles& angles, const at::Tensor& scores) {
  const auto own = observed_layer(candidates, w, shape, angles);
  const auto queries =
      rotary(heads(at::linear(own.normed, w.query), shape), angles) / std::sqrt(static_cast<double>(shape.head_size));
  // Of a candidate's scores with the tokens and, last, with itself.
  const auto with_tokens = at::matmul(queries, layer.keys.transpose(-2, -1)) + scores;
  const auto with_itself = (queries * own.keys).sum(-1, /*keepdim=*/true);
  const auto shares = at::softmax(at::cat({with_tokens, with_itself.to(with_tokens.scalar_type())}, -1), -1).to(queries.scalar_type());
  const int64_t length = layer.keys.size(2);
  const auto mixed = at::matmul(shares.narrow(-1, 0, length), layer.values) + shares.narrow(-1, length, 1) * own.values;
  return rest_of_block(candidates, mixed, w, shape);
}

}  // namespace lacuna
