#include "trainer/model/decoder_block.h"

#include <cmath>

namespace lacuna {

BlockLayers::BlockLayers(const ModelContext& context, const DecoderOptions& o, int branches)
    : context_(context),
      options_(o),
      attention_{.hidden_size = o.hidden_size,
                 .num_heads = o.num_heads,
                 .num_kv_heads = o.num_kv_heads,
                 .input_bias = o.bias != BiasKind::none,
                 .output_bias = o.bias == BiasKind::all,
                 .output_deviation = 0.02 / std::sqrt(branches * static_cast<double>(o.num_layers))} {}

std::shared_ptr<Norm> BlockLayers::norm() const {
  const auto& o = options_;
  return std::make_shared<Norm>(context_, o.norm, o.hidden_size, o.bias == BiasKind::all, o.norm_epsilon);
}

std::shared_ptr<FeedForward> BlockLayers::feed_forward() const {
  const auto& o = options_;
  return std::make_shared<FeedForward>(context_, o.hidden_size, o.feed_forward_size, o.activation, o.bias == BiasKind::all,
                                       attention_.output_deviation);
}

DecoderBlock::DecoderBlock(const ModelContext& context, const DecoderOptions& o, int64_t layer)
    : dropout_(o.dropout),
      post_norm_(o.post_norm),
      random_(Random(context.seed, 1).fork("dropout").fork(static_cast<uint64_t>(layer))) {
  const BlockLayers layers(context, o, o.partial_attention ? 3 : 2);
  attention_norm_ = register_module("attention_norm", layers.norm());
  attention_ = register_module("attention", layers.attention<Attention>());
  if (o.partial_attention) {
    partial_norm_ = register_module("partial_norm", layers.norm());
    partial_ = register_module("partial", layers.attention<PartialAttention>());
  }
  feed_forward_norm_ = register_module("feed_forward_norm", layers.norm());
  feed_forward_ = register_module("feed_forward", layers.feed_forward());
}

at::Tensor DecoderBlock::drop(const at::Tensor& x, const StreamLayout& stream, std::string_view half,
                              const at::Tensor& stream_positions) const {
  return is_training() ? stream.drop(x, dropout_, random_.fork(half), stream_positions) : x;
}

at::Tensor DecoderBlock::forward(at::Tensor x, const StreamLayout& stream, const AttentionPattern& pattern,
                                 const RotaryAngles* angles, KeyValueCache* cache, const at::Tensor& stream_positions,
                                 const AttentionPattern* source) const {
  const auto mixed = attention_->forward(post_norm_ ? x : attention_norm_->forward(x), stream, pattern, angles, cache);
  x = add_attention(x, mixed, stream, stream_positions);
  if (partial_) {
    const auto normed = partial_norm_->forward(x);
    auto read = cache != nullptr ? cache->source : KeyValues{};
    if (!read.keys.defined()) read = partial_->read(normed, stream);
    if (cache != nullptr) cache->source = read;
    x = x + drop(partial_->forward(normed, stream, read, *source), stream, "partial", stream_positions);
  }
  return add_feed_forward(x, stream, stream_positions);
}

at::Tensor DecoderBlock::forward_to(const at::Tensor& context, const at::Tensor& x, const StreamLayout& stream,
                                    const AttentionPattern& pattern, const at::Tensor& stream_positions) const {
  const auto normed = [&](const at::Tensor& states) { return post_norm_ ? states : attention_norm_->forward(states); };
  const auto read = attention_->read(normed(context), stream, nullptr);
  const auto mixed = attention_->forward_to(read, normed(x), stream, pattern);
  return add_feed_forward(add_attention(x, mixed, stream, stream_positions), stream, stream_positions);
}

at::Tensor DecoderBlock::add_attention(const at::Tensor& x, const at::Tensor& mixed, const StreamLayout& stream,
                                       const at::Tensor& stream_positions) const {
  const auto sum = x + drop(mixed, stream, "attention", stream_positions);
  return post_norm_ ? attention_norm_->forward(sum) : sum;
}

at::Tensor DecoderBlock::add_feed_forward(const at::Tensor& x, const StreamLayout& stream,
                                          const at::Tensor& stream_positions) const {
  const auto fed = feed_forward_->forward(post_norm_ ? x : feed_forward_norm_->forward(x), stream);
  const auto sum = x + drop(fed, stream, "feed_forward", stream_positions);
  return post_norm_ ? feed_forward_norm_->forward(sum) : sum;
}

ResidualStream DecoderBlock::forward(ResidualStream x, const StreamLayout& stream, const PackedAttentionShape& pattern,
                                     const RotaryTable& rotary, const at::Tensor& positions, Recompute recompute) const {
  return transformer_block(x, attention_->half(*attention_norm_, stream, pattern, rotary, positions),
                           feed_forward_->half(*feed_forward_norm_, stream), recompute);
}

std::string DecoderBlock::not_fused(const DecoderOptions& o, int64_t ranks, bool training) {
  const int64_t head_size = o.hidden_size / o.num_heads;
  if (o.position == PositionKind::relative) return "relative positions";
  if (o.dropout > 0 && training) return "dropout";
  if (o.post_norm) return "norms behind the halves";
  if (o.partial_attention) return "partial attention";
  if (o.type_embedding) return "a type embedding";
  if (o.separate_positions) return "separate positions";
  if (head_size % 8 != 0 || head_size > 256) return "heads of " + std::to_string(head_size) + ", not of 8, 16, ..., 256";
  // Packed weights lie side by side where every part fills whole lines of flat storage.
  const std::pair<const char*, int64_t> parts[]{{"hidden_size", o.hidden_size},
                                                {"keys and values", o.num_kv_heads * head_size},
                                                {"feed_forward_size", o.feed_forward_size}};
  for (const auto& [name, size] : parts) {
    if (size / ranks % 32 != 0) return std::string(name) + " of " + std::to_string(size / ranks) + " a rank, no multiple of 32";
  }
  return "";
}

}  // namespace lacuna
