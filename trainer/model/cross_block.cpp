#include "trainer/model/cross_block.h"

namespace lacuna {

CrossBlock::CrossBlock(const ModelContext& context, const DecoderOptions& o, int64_t layer, bool joint,
                       const DecoderBlock* shared)
    : dropout_(o.dropout), random_(Random(context.seed, 1).fork("cross_dropout").fork(static_cast<uint64_t>(layer))) {
  const BlockLayers layers(context, o, joint ? 2 : 3);
  if (shared != nullptr) {
    parts_ = shared->parts();  // which the encoder has registered
  } else {
    parts_.attention_norm = register_module("self_norm", layers.norm());
    parts_.attention = register_module("self", layers.attention<Attention>());
  }
  if (!joint) {
    cross_norm_ = register_module("cross_norm", layers.norm());
    cross_ = register_module("cross", layers.attention<CrossAttention>());
  }
  if (shared != nullptr) return;
  parts_.feed_forward_norm = register_module("feed_forward_norm", layers.norm());
  parts_.feed_forward = register_module("feed_forward", layers.feed_forward());
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
