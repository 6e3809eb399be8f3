#include "trainer/model/attention.h"

#include "trainer/parallel/collectives.h"

namespace lacuna {

Attention::Attention(const ModelContext& context, const AttentionShape& s)
    : axis_(context.mesh.tensor()), head_size_(s.head_size()) {
  const int64_t kv_size = s.num_kv_heads * head_size_;
  const auto column = [&](int64_t out) { return std::make_shared<ColumnParallelLinear>(context, s.hidden_size, out, s.input_bias); };
  query_ = register_module("query", column(s.hidden_size));
  key_ = register_module("key", column(kv_size));
  value_ = register_module("value", column(kv_size));
  output_ = register_module(
      "output", std::make_shared<RowParallelLinear>(context, s.hidden_size, s.hidden_size, s.output_bias, s.output_deviation));
}

at::Tensor Attention::forward(const at::Tensor& x, const AttentionPattern& pattern, const RotaryAngles* angles,
                              KeyValueCache* cache) const {
  const auto shared = copy_to_axis(x, axis_);
  const auto heads = [&](const at::Tensor& y) { return y.view({y.size(0), y.size(1), -1, head_size_}).transpose(1, 2); };
  auto q = heads(query_->forward(shared)), k = heads(key_->forward(shared)), v = heads(value_->forward(shared));
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
  const auto mixed = attention(q, k, v, pattern);
  return output_->forward(mixed.transpose(1, 2).reshape({x.size(0), x.size(1), -1}));
}

}  // namespace lacuna
