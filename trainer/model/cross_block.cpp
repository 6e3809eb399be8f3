#include "trainer/model/cross_block.h"

#include <cmath>

namespace lacuna {

CrossBlock::CrossBlock(const ModelContext& context, const DecoderOptions& o, int64_t layer, bool joint,
                       const DecoderBlock* shared)
    : dropout_(o.dropout), random_(Random(context.seed, 1).fork("cross_dropout").fork(static_cast<uint64_t>(layer))) {
  const bool bias = o.bias == BiasKind::all;
  const double branches = joint ? 2 : 3, output_deviation = 0.02 / std::sqrt(branches * static_cast<double>(o.num_layers));
  const auto norm = [&] { return std::make_shared<Norm>(context, o.norm, o.hidden_size, bias, o.norm_epsilon); };
  const AttentionShape shape{.hidden_size = o.hidden_size,
                             .num_heads = o.num_heads,
                             .num_kv_heads = o.num_kv_heads,
                             .input_bias = o.bias != BiasKind::none,
                             .output_bias = bias,
                             .output_deviation = output_deviation};
  if (shared != nullptr) {
    parts_ = shared->parts();  // which the encoder has registered
  } else {
    parts_.attention_norm = register_module("self_norm", norm());
    parts_.attention = register_module("self", std::make_shared<Attention>(context, shape));
  }
  if (!joint) {
    cross_norm_ = register_module("cross_norm", norm());
    cross_ = register_module("cross", std::make_shared<CrossAttention>(context, shape));
  }
  if (shared != nullptr) return;
  parts_.feed_forward_norm = register_module("feed_forward_norm", norm());
  parts_.feed_forward = register_module("feed_forward", std::make_shared<FeedForward>(context, o.hidden_size, o.feed_forward_size,
                                                                                      o.activation, bias, output_deviation));
}

KeyValues CrossBlock::read(const at::Tensor& states, const StreamLayout& stream, const RotaryAngles* angles) const {
  return cross_ ? cross_->read(states, stream) : parts_.attention->read(states, stream, angles);
}

at::Tensor CrossBlock::forward(at::Tensor x, const CrossPass& pass, const KeyValues& source, KeyValueCache* cache) const {
  const auto& stream = pass.stream;
  const auto drop = [&](const at::Tensor& y, std::string_view part) {
    return is_training() ? stream.drop(y, dropout_, random_.fork(part), pass.stream_positions) : y;
  };
  const auto* memory = cross_ ? nullptr : &source;
  const auto normed = parts_.attention_norm->forward(x);
  x = x + drop(parts_.attention->forward(normed, stream, pass.self, pass.angles, cache, memory), "self");
  if (cross_) x = x + drop(cross_->forward(cross_norm_->forward(x), stream, source, pass.cross), "cross");
  return x + drop(parts_.feed_forward->forward(parts_.feed_forward_norm->forward(x), stream), "feed_forward");
}

}  // namespace lacuna
