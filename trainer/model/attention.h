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

// Keys and values (B, K / ranks, capacity, d) of the positions read so far, of one layer.
struct KeyValueCache {
  at::Tensor keys, values;
  int64_t length = 0;
};

// The residual stream as `stream` says, to what is added to it. Query, key and value weights are separate parameters that lie
// side by side in flat storage.
class Attention : public torch::nn::Module {
 public:
  Attention(const ModelContext& context, const AttentionShape& shape);
  // `angles` may be null (no rotary positions); `cache`, where given, is extended by these positions and attended to whole.
  at::Tensor forward(const at::Tensor& x, const StreamLayout& stream, const AttentionPattern& pattern, const RotaryAngles* angles,
                     KeyValueCache* cache) const;
  // norm(x) and this, as one node; `rotary` undefined where there are no rotary positions.
  AttentionHalf half(const Norm& norm, const StreamLayout& stream, const PackedAttentionShape& pattern, const RotaryTable& rotary,
                     const at::Tensor& positions) const;
  // This rank's heads, as packed kernels count them.
  PackedAttentionShape packed_heads() const;

 private:
  Communicator& axis_;
  AttentionShape shape_;
  int64_t head_size_;
  ColumnParallelLinears input_;  // query, key and value
  std::shared_ptr<RowParallelLinear> output_;
};

}  // namespace lacuna
