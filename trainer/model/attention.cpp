#include "trainer/model/attention.h"

#include <ATen/ops/cat.h>

namespace lacuna {

Attention::Attention(const ModelContext& context, const AttentionShape& s)
    : axis_(context.mesh.tensor()),
      shape_(s),
      head_size_(s.head_size()),
      input_(*this, context, s.hidden_size,
             {{"query", s.hidden_size}, {"key", s.num_kv_heads * s.head_size()}, {"value", s.num_kv_heads * s.head_size()}},
             s.input_bias) {
  output_ = register_module(
      "output", std::make_shared<RowParallelLinear>(context, s.hidden_size, s.hidden_size, s.output_bias, s.output_deviation));
}

at::Tensor Attention::forward(const at::Tensor& x, const StreamLayout& stream, const AttentionPattern& pattern,
                              const RotaryAngles* angles, KeyValueCache* cache, const KeyValues* memory) const {
  const auto shared = stream.enter(x);
  auto q = heads(input_.forward(0, shared)), k = heads(input_.forward(1, shared)), v = heads(input_.forward(2, shared));
  if (angles != nullptr) {
    q = rotary(q, *angles);
    k = rotary(k, *angles);
  }
  if (cache != nullptr) {
    cache->keys.narrow(2, cache->length, k.size(2)).copy_(k);
    cache->values.narrow(2, cache->length, v.size(2)).copy_(v);
    cache->length += k.size(2);
    k = cache->keys.narrow(2, 0, cache->length);
    v = cache->values.narrow(2, 0, cache->length);
  }
  if (memory != nullptr) {
    k = at::cat({memory->keys, k}, 2);
    v = at::cat({memory->values, v}, 2);
  }
  return attended(q, {k, v}, stream, pattern);
}

at::Tensor Attention::forward_to(const KeyValues& read, const at::Tensor& x, const StreamLayout& stream,
                                 const AttentionPattern& pattern) const {
  return attended(heads(input_.forward(0, stream.enter(x))), read, stream, pattern);
}

at::Tensor Attention::attended(const at::Tensor& queries, const KeyValues& read, const StreamLayout& stream,
                               const AttentionPattern& pattern) const {
  const auto mixed = attention(queries, read.keys, read.values, pattern);
  return output_->forward(mixed.transpose(1, 2).reshape({queries.size(0), queries.size(2), -1}), stream);
}

KeyValues Attention::read(const at::Tensor& states, const StreamLayout& stream, const RotaryAngles* angles) const {
  const auto shared = stream.enter(states);
  const auto keys = heads(input_.forward(1, shared));
  return {angles != nullptr ? rotary(keys, *angles) : keys, heads(input_.forward(2, shared))};
}

PackedAttentionShape Attention::packed_heads() const {
  return {
      .num_heads = shape_.num_heads / axis_.size(), .num_kv_heads = shape_.num_kv_heads / axis_.size(), .head_size = head_size_};
}

AttentionHalf Attention::half(const Norm& norm, const StreamLayout& stream, const PackedAttentionShape& pattern,
                              const RotaryTable& rotary, const at::Tensor& positions) const {
  return {.norm = norm.weights(),
          .input = input_.packed(),
          .output = output_->weights(),
          .shape = pattern,
          .rotary = rotary,
          .positions = positions,
          .stream = stream,
          .parameters = joined({norm.parameters(), input_.parameters(), output_->parameters()})};
}

}  // namespace lacuna
