// Activations that backward makes again instead of keeping them.
#pragma once
#include <array>
#include <string_view>

namespace lacuna {

// norms: the normed inputs of both halves of a block. feed_forward: besides, what the activation returned. block: everything but
// the block's input; the only one for blocks that are not fused.
enum class Recompute { none, norms, feed_forward, block };
constexpr std::array<std::string_view, 4> names_of(Recompute) { return {"none", "norms", "feed_forward", "block"}; }

}  // namespace lacuna
