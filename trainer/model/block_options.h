// The keys of transformer blocks, each said once for every architecture that has it. An architecture's options stay a plain
// aggregate: they have those of these members that the architecture offers, with its own defaults, and their describe() begins
// with describe_block().
#pragma once
#include "trainer/config/describe.h"
#include "trainer/model/feed_forward.h"
#include "trainer/model/norm.h"

namespace lacuna {

enum class PositionKind { learned, rotary, relative, none };
constexpr std::array<std::string_view, 4> names_of(PositionKind) { return {"learned", "rotary", "relative", "none"}; }
enum class BiasKind { all, qkv, none };
constexpr std::array<std::string_view, 3> names_of(BiasKind) { return {"all", "qkv", "none"}; }

// What an architecture may say of a key more exactly.
struct BlockHelp {
  std::string_view num_layers = "blocks";
  std::string_view hidden_size = "width of the residual stream";
  std::string_view num_heads = "attention heads; divide hidden_size";
  std::string_view feed_forward_size = "inner width of the feed-forward half; 0 = 4 x hidden_size";
  std::string_view norm = "layer_norm or rms_norm, before each half";
  std::string_view norm_epsilon = "added to the variance";
  std::string_view position = "how positions enter";
  std::string_view tied_embedding = "the head shares the embedding's table";
  std::string_view dropout = "on the embedding and the residual branches";
};
template <class Visitor, class Options>
void describe_block(Visitor& visit, Options& o, const BlockHelp& help = {}) {
  visit("num_layers", o.num_layers, help.num_layers, between(1, 1000));
  visit("hidden_size", o.hidden_size, help.hidden_size, between(1, 1 << 20));
  visit("num_heads", o.num_heads, help.num_heads, between(1, 1 << 16));
  if constexpr (requires { o.num_kv_heads; }) {
    visit("num_kv_heads", o.num_kv_heads, "key and value heads; divide num_heads; 0 = num_heads", at_least(0));
  }
  visit("feed_forward_size", o.feed_forward_size, help.feed_forward_size, at_least(0));
  if constexpr (requires { o.norm; }) visit("norm", o.norm, help.norm);
  visit("norm_epsilon", o.norm_epsilon, help.norm_epsilon, above(0));
  if constexpr (requires { o.position; }) visit("position", o.position, help.position);
  if constexpr (requires { o.activation; }) {
    visit("activation", o.activation, "of the feed-forward half; swiglu and geglu are gated");
  }
  if constexpr (requires { o.bias; }) visit("bias", o.bias, "which linears have a bias; with all, layer norms too");
  if constexpr (requires { o.rotary_base; }) visit("rotary_base", o.rotary_base, "base of the rotary angles", above(0));
  if constexpr (requires { o.tied_embedding; }) visit("tied_embedding", o.tied_embedding, help.tied_embedding);
  if constexpr (requires { o.dropout; }) visit("dropout", o.dropout, help.dropout, from_below(0, 1));
}

// Sizes that are 0, which stands for a default that follows from another key.
template <class Options>
void set_block_defaults(Options& o) {
  if constexpr (requires { o.num_kv_heads; }) {
    if (o.num_kv_heads == 0) o.num_kv_heads = o.num_heads;
  }
  if (o.feed_forward_size == 0) o.feed_forward_size = 4 * o.hidden_size;
}

}  // namespace lacuna
