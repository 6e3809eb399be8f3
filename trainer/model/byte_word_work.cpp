// What byte_word costs, without running it.
#include <ATen/Context.h>

#include <algorithm>

#include "trainer/kernels/linear_cross_entropy.h"
#include "trainer/model/byte_word.h"

namespace lacuna {

Backends ByteWord::backends(int64_t rows, int64_t, bool) const {
  const auto reason = fused_ ? not_fused(/*training=*/true) : "";
  if (!fused_ || !reason.empty()) {
    return {.attention = "scaled_dot_product_attention of ATen, inside of words by blocks, causal over words", .not_fused = reason};
  }
  const auto backbone = at::hasCUDA() ? word_pattern(rows).backend() : "cuDNN, or ATen where it refuses";
  return {.attention = "a kernel of its own inside of words, " + backbone + ", causal over words", .not_fused = {}};
}

// Words are taken to be as long as there is room for, bytes_per_word: mathematics needs no more of a row, whatever its text. What
// slots without a word cost is in it, since they are computed.
ModelWork ByteWord::work(int64_t rows, int64_t length, int64_t element_size) const {
  const auto& o = options_;
  const int64_t ranks = mesh_.tensor().size(), bytes = rows * length, slots = limits().max_words;
  const int64_t gates = is_gated(o.activation) ? 2 : 1, c = o.character_size;
  const double word = static_cast<double>(o.bytes_per_word) + 1;  // its head included
  const auto e = static_cast<double>(element_size);
  const bool again = recompute_ == Recompute::block;
  ModelWork work{.tensor_ranks = ranks};
  // Floats of a position that a block keeps, and that its backward holds beside them, as Decoder::describe_plain counts them.
  const auto stack = [&](int64_t positions, int64_t d, int64_t heads, int64_t f, double layers, double visible_keys) {
    const auto linear = [&](int64_t in, int64_t out) {
      work.linears.push_back({.rows = rows * positions, .in = in, .out = out, .count = layers, .recomputed = again});
    };
    linear(d, 3 * d / ranks);
    linear(d / ranks, d);
    linear(d, gates * f / ranks);
    linear(f / ranks, d);
    work.attention.push_back({.rows = rows,
                              .length = positions,
                              .num_heads = heads / ranks,
                              .num_kv_heads = heads / ranks,
                              .head_size = d / heads,
                              .visible = visible_keys / static_cast<double>(positions),
                              .count = layers,
                              .recomputed = again});
    const double n = static_cast<double>(rows * positions), wide = static_cast<double>(d),
                 shared = 1.0 / static_cast<double>(ranks);
    const double inner = shared * static_cast<double>((gates == 2 ? 4 : 2) * f);
    const double block = wide * ((o.norm == NormKind::rms_norm ? 6 : 4) + (o.dropout > 0 ? 2 : 0)) + shared * 4 * wide + inner;
    work.kept_bytes += e * n * (layers * (again ? wide : block) + 4 * wide);
    work.transient_bytes = std::max(work.transient_bytes, e * n * (inner + 3 * wide + (again ? block : 0)));
    work.passes.push_back({"norms, activations and copies", e * n * layers * (30 * wide + 8 * inner)});
    work.launches += 90 * layers + 30;
    if (ranks == 1) return;
    work.tensor_bytes += 4 * layers * e * n * wide;
    work.tensor_messages += 4 * layers;
  };
  const int64_t characters = length + slots;
  const auto character_layers = static_cast<double>(o.character_layers);
  stack(characters, c, o.character_heads, o.character_feed_forward_size, character_layers, word);
  stack(slots, o.hidden_size, o.num_heads, o.feed_forward_size, static_cast<double>(o.num_layers),
        0.5 * static_cast<double>(slots));
  stack(characters, c, o.character_heads, o.character_feed_forward_size, character_layers, 0.5 * word);
  work.linears.push_back({.rows = rows * slots, .in = c, .out = o.hidden_size, .count = 1});
  work.linears.push_back({.rows = rows * slots, .in = o.hidden_size, .out = c, .count = 1});
  const int64_t vocabulary = padded_vocabulary(vocabulary_size_) / ranks, chunk = std::min(bytes, kLogitRowsOfDevice);
  work.linears.push_back(
      {.rows = chunk, .in = c, .out = vocabulary, .count = static_cast<double>(bytes) / static_cast<double>(chunk)});
  // Slots are joined and taken apart twice each way.
  work.passes.push_back({"words", 12 * e * static_cast<double>(rows * characters * c)});
  if (ranks > 1) {
    work.tensor_bytes += 2 * e * static_cast<double>(bytes * c);
    work.tensor_messages += 2;
  }
  return work;
}

}  // namespace lacuna
