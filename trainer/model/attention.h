// The mixing half of a block: multi-head attention whose heads are split over the tensor axis.
#pragma once
#include "trainer/kernels/attention.h"
#include "trainer/kernels/rotary.h"
#include "trainer/model/fused_halves.h"
#include "trainer/model/norm.h"
#include "trainer/model/parallel_linear.h"

namespace lacuna {

struct AttentionShape {
  int64_t hidden_size, num_heads, num_kv_heads;
  bool input_bias, output_bias;
  double output_deviation;
  int64_t head_size() const { return hidden_size / num_heads; }
};

// Keys and values (B, K / ranks, n, d) of what is attended to: made once, read by as many queries as there are.
struct KeyValues {
  at::Tensor keys, values;
};

// Keys and values (B, K / ranks, capacity, d) of the positions read so far, of one layer.
struct KeyValueCache {
  at::Tensor keys, values;
  int64_t length = 0;
  KeyValues source = {};  // of partial attention, read with the prompt
};

// The residual stream as `stream` says, to what is added to it. Query, key and value weights are separate parameters that lie
// side by side in flat storage.
class Attention : public torch::nn::Module {
 public:
  Attention(const ModelContext& context, const AttentionShape& shape);
  // `angles` may be null (no rotary positions); `cache`, where given, is extended by these positions and attended to whole. What
  // `memory` holds, where given, stands before all of these: one softmax over both, and a pattern with as many more keys.
  at::Tensor forward(const at::Tensor& x, const StreamLayout& stream, const AttentionPattern& pattern, const RotaryAngles* angles,
                     KeyValueCache* cache, const KeyValues* memory = nullptr) const;
  // The same, attending to what was read elsewhere instead of to x's own keys and values.
  at::Tensor forward_to(const KeyValues& read, const at::Tensor& x, const StreamLayout& stream,
                        const AttentionPattern& pattern) const;
  // Keys and values of other states (B, S, D), turned by their own angles.
  KeyValues read(const at::Tensor& states, const StreamLayout& stream, const RotaryAngles* angles) const;
  // norm(x) and this, as one node; `rotary` undefined where there are no rotary positions.
  AttentionHalf half(const Norm& norm, const StreamLayout& stream, const PackedAttentionShape& pattern, const RotaryTable& rotary,
                     const at::Tensor& positions) const;
  // This rank's heads, as packed kernels count them.
  PackedAttentionShape packed_heads() const;

 private:
  // Of queries (B, H / ranks, T, d).
  at::Tensor attended(const at::Tensor& queries, const KeyValues& read, const StreamLayout& stream,
                      const AttentionPattern& pattern) const;
  at::Tensor heads(const at::Tensor& y) const { return y.view({y.size(0), y.size(1), -1, head_size_}).transpose(1, 2); }

  Communicator& axis_;
  AttentionShape shape_;
  int64_t head_size_;
  ColumnParallelLinears input_;  // query, key and value
  std::shared_ptr<RowParallelLinear> output_;
};

}  // namespace lacuna
