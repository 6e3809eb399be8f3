// One pre-norm transformer block, of which a decoder is a stack and other architectures are made too.
#pragma once
#include "data/random.h"
#include "trainer/model/attention.h"
#include "trainer/model/block_options.h"
#include "trainer/model/partial_attention.h"

namespace lacuna {

// Of a decoder; a block reads what concerns it.
struct DecoderOptions {
  Visibility visibility = Visibility::causal;
  int64_t num_layers = 4;
  int64_t hidden_size = 128;
  int64_t num_heads = 4;
  int64_t num_kv_heads = 0;
  int64_t feed_forward_size = 0;
  NormKind norm = NormKind::layer_norm;
  double norm_epsilon = 1e-5;
  PositionKind position = PositionKind::learned;
  Activation activation = Activation::gelu;
  BiasKind bias = BiasKind::all;
  double rotary_base = 10000.0;
  bool tied_embedding = true;
  double dropout = 0.0;
  int64_t window = 0;
  bool partial_attention = false;
  bool type_embedding = false;
  bool separate_positions = false;
  bool post_norm = false;  // of blocks that others are made of; a Decoder has none
};
template <class Visitor>
void describe(Visitor& visit, DecoderOptions& o) {
  visit("visibility", o.visibility, "which positions a position may attend to");
  describe_block(visit, o);
  visit("window", o.window, "positions that a position sees, itself included, of a causal decoder; 0 = all before it",
        at_least(0));
  visit("partial_attention", o.partial_attention, "of a prefix decoder: each block also attends to the prefix alone (PALM)");
  visit("type_embedding", o.type_embedding, "of a prefix decoder: a learned vector tells the prefix from what follows");
  visit("separate_positions", o.separate_positions, "of a prefix decoder: what follows the prefix counts from 0 again");
}

// The blocks that another architecture's options describe. Members that those lack are as they are here.
template <class Options>
DecoderOptions block_of(Options o, Visibility visibility, PositionKind position) {
  set_block_defaults(o);
  DecoderOptions block{.visibility = visibility,
                       .num_layers = o.num_layers,
                       .hidden_size = o.hidden_size,
                       .num_heads = o.num_heads,
                       .num_kv_heads = o.num_heads,
                       .feed_forward_size = o.feed_forward_size,
                       .norm = o.norm,
                       .norm_epsilon = o.norm_epsilon,
                       .position = position,
                       .activation = o.activation,
                       .bias = o.bias,
                       .dropout = o.dropout};
  if constexpr (requires { o.num_kv_heads; }) block.num_kv_heads = o.num_kv_heads;
  if constexpr (requires { o.rotary_base; }) block.rotary_base = o.rotary_base;
  if constexpr (requires { o.post_norm; }) block.post_norm = o.post_norm;
  return block;
}

// The layers of a block with so many branches beside the residual stream, whose outputs begin with a deviation of
// 0.02 / sqrt(branches * num_layers) (Radford et al. 2019 and its released code).
class BlockLayers {
 public:
  BlockLayers(const ModelContext& context, const DecoderOptions& options, int branches);
  std::shared_ptr<Norm> norm() const;
  std::shared_ptr<FeedForward> feed_forward() const;
  // Attention, PartialAttention or CrossAttention.
  template <class Kind>
  std::shared_ptr<Kind> attention() const {
    return std::make_shared<Kind>(context_, attention_);
  }

 private:
  const ModelContext& context_;
  const DecoderOptions& options_;
  AttentionShape attention_;
};

// The layers of a block, for another one that shares them.
struct BlockParts {
  std::shared_ptr<Norm> attention_norm, feed_forward_norm;
  std::shared_ptr<Attention> attention;
  std::shared_ptr<FeedForward> feed_forward;
};

// One block: x + attention(norm(x)), where there is one + partial_attention(norm(x)), then + feed_forward(norm(x)). With
// post_norm, composed alone: norm(x + attention(x)), then norm(x + feed_forward(x)).
class DecoderBlock : public torch::nn::Module {
 public:
  DecoderBlock(const ModelContext& context, const DecoderOptions& options, int64_t layer);
  at::Tensor forward(at::Tensor x, const StreamLayout& stream, const AttentionPattern& pattern, const RotaryAngles* angles,
                     KeyValueCache* cache, const at::Tensor& stream_positions, const AttentionPattern* source = nullptr) const;
  // The same without positions and cache, attending to `context` (B, S, D), normalised likewise, in place of x itself.
  at::Tensor forward_to(const at::Tensor& context, const at::Tensor& x, const StreamLayout& stream,
                        const AttentionPattern& pattern, const at::Tensor& stream_positions) const;
  // The same as two autograd nodes, without dropout.
  ResidualStream forward(ResidualStream x, const StreamLayout& stream, const PackedAttentionShape& pattern,
                         const RotaryTable& rotary, const at::Tensor& positions, Recompute recompute) const;
  // Why blocks of these options are not such nodes, in words for the user; empty where they are.
  static std::string not_fused(const DecoderOptions& options, int64_t tensor_ranks, bool training);
  PackedAttentionShape packed_heads() const { return attention_->packed_heads(); }
  BlockParts parts() const { return {attention_norm_, feed_forward_norm_, attention_, feed_forward_}; }

 private:
  at::Tensor drop(const at::Tensor& x, const StreamLayout& stream, std::string_view half,
                  const at::Tensor& stream_positions) const;
  // x + what its attention found, and then the feed-forward half.
  at::Tensor add_attention(const at::Tensor& x, const at::Tensor& mixed, const StreamLayout& stream,
                           const at::Tensor& stream_positions) const;
  at::Tensor add_feed_forward(const at::Tensor& x, const StreamLayout& stream, const at::Tensor& stream_positions) const;

  double dropout_;
  bool post_norm_;
  Random random_;
  std::shared_ptr<Norm> attention_norm_, feed_forward_norm_;
  std::shared_ptr<Attention> attention_;
  std::shared_ptr<FeedForward> feed_forward_;
  std::shared_ptr<Norm> partial_norm_;  // these two null: none
  std::shared_ptr<PartialAttention> partial_;
};

}  // namespace lacuna
