// The keys of transformer blocks that architectures share. An architecture's options derive from BlockOptions, and its describe()
// begins with theirs.
#pragma once
#include "trainer/model/decoder.h"

namespace lacuna {

struct BlockOptions {
  int64_t num_layers = 4;
  int64_t hidden_size = 128;
  int64_t num_heads = 4;
  int64_t feed_forward_size = 0;
  NormKind norm = NormKind::layer_norm;
  double norm_epsilon = 1e-5;
  Activation activation = Activation::gelu;
  BiasKind bias = BiasKind::all;
  double dropout = 0.0;
};
template <class Visitor>
void describe(Visitor& visit, BlockOptions& o) {
  visit("num_layers", o.num_layers, "blocks", between(1, 1000));
  visit("hidden_size", o.hidden_size, "width of the residual stream", between(1, 1 << 20));
  visit("num_heads", o.num_heads, "attention heads; divide hidden_size", between(1, 1 << 16));
  visit("feed_forward_size", o.feed_forward_size, "inner width of the feed-forward half; 0 = 4 x hidden_size", at_least(0));
  visit("norm", o.norm, "layer_norm or rms_norm");
  visit("norm_epsilon", o.norm_epsilon, "added to the variance", above(0));
  visit("activation", o.activation, "of the feed-forward half; swiglu and geglu are gated");
  visit("bias", o.bias, "which linears have a bias; with all, layer norms too");
  visit("dropout", o.dropout, "on the embedding and the residual branches", from_below(0, 1));
}

// The same blocks as a decoder has them, without positions.
inline DecoderOptions decoder_options(const BlockOptions& o, Visibility visibility) {
  return {.visibility = visibility,
          .num_layers = o.num_layers,
          .hidden_size = o.hidden_size,
          .num_heads = o.num_heads,
          .num_kv_heads = o.num_heads,
          .feed_forward_size = o.feed_forward_size == 0 ? 4 * o.hidden_size : o.feed_forward_size,
          .norm = o.norm,
          .norm_epsilon = o.norm_epsilon,
          .position = PositionKind::none,
          .activation = o.activation,
          .bias = o.bias,
          .dropout = o.dropout};
}

}  // namespace lacuna
