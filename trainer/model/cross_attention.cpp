#include "trainer/model/cross_attention.h"

namespace lacuna {

CrossAttention::CrossAttention(const ModelContext& context, const AttentionShape& s)
    : head_size_(s.head_size()),
      query_(*this, context, s.hidden_size, {{"query", s.hidden_size}}, s.input_bias),
      memory_(*this, context, s.hidden_size, {{"key", s.num_kv_heads * s.head_size()}, {"value", s.num_kv_heads * s.head_size()}},
              s.input_bias) {
  output_ = register_module(
      "output", std::make_shared<RowParallelLinear>(context, s.hidden_size, s.hidden_size, s.output_bias, s.output_deviation));
}

KeyValues CrossAttention::read(const at::Tensor& states, const StreamLayout& stream) const {
  const auto shared = stream.enter(states);
  return {heads(memory_.forward(0, shared)), heads(memory_.forward(1, shared))};
}

at::Tensor CrossAttention::forward(const at::Tensor& x, const StreamLayout& stream, const KeyValues& memory,
                                   const AttentionPattern& pattern) const {
  const auto mixed = attention(heads(query_.forward(0, stream.enter(x))), memory.keys, memory.values, pattern);
  return output_->forward(mixed.transpose(1, 2).flatten(2), stream);
}

}  // namespace lacuna
