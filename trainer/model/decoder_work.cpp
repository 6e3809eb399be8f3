// What a decoder costs, without running it.
#include <algorithm>

#include "trainer/kernels/linear_cross_entropy.h"
#include "trainer/model/decoder.h"

namespace lacuna {

ModelWork Decoder::work(int64_t rows, int64_t length, int64_t element_size) const {
  const auto& o = options_;
  const int64_t ranks = mesh_.tensor().size(), head_size = o.hidden_size / o.num_heads;
  const int64_t tokens = rows * length, d = o.hidden_size, kv = o.num_kv_heads * head_size, f = o.feed_forward_size;
  const int64_t vocabulary = padded_vocabulary(vocabulary_size_) / ranks, chunk = std::min(tokens, kLogitRowsOfDevice);
  const auto layers = static_cast<double>(o.num_layers), n = static_cast<double>(tokens);
  const bool fused = fused_ && not_fused(/*training=*/true).empty();
  // A causal query sees half of the row on average; of a window w all but the first w queries see w keys.
  const auto row = static_cast<double>(length), window = o.window > 0 ? std::min(static_cast<double>(o.window), row) : row;
  const double visible = o.visibility == Visibility::causal ? window * (1 - 0.5 * window / row) / row : 1.0;
  const bool again = recompute_ == Recompute::block;

  ModelWork work{.tensor_ranks = ranks};
  const auto linear = [&](int64_t in, int64_t out, bool recomputed) {
    work.linears.push_back({.rows = tokens, .in = in, .out = out, .count = layers, .recomputed = recomputed});
  };
  linear(d, (d + 2 * kv) / ranks, again);
  linear(d / ranks, d, again);
  linear(d, (is_gated(o.activation) ? 2 : 1) * f / ranks, again);
  linear(f / ranks, d, again && !fused);
  if (o.partial_attention) {
    for (int i = 0; i < 2; ++i) linear(d, d / ranks, again);  // its network, which every rank runs and the mathematics needs once
    linear(d, (d + 2 * kv) / ranks, again);
    linear(d / ranks, d, again);
  }
  work.linears.push_back({.rows = chunk, .in = d, .out = vocabulary, .count = n / static_cast<double>(chunk)});
  // Half of a row is the source, on average, of partial attention.
  for (const double part : o.partial_attention ? std::vector{visible, 0.5} : std::vector{visible})
    work.attention.push_back({.rows = rows,
                              .length = length,
                              .num_heads = o.num_heads / ranks,
                              .num_kv_heads = o.num_kv_heads / ranks,
                              .head_size = head_size,
                              .visible = part,
                              .count = layers,
                              .recomputed = again});
  if (fused) {
    describe_fused(work, n);
  } else {
    describe_plain(work, static_cast<double>(rows), static_cast<double>(length), static_cast<double>(element_size));
  }
  // The loss makes the logits' gradient in their place and scales those of its inputs; its weight's gradient is fp32.
  const double states = n * static_cast<double>(d), logits = n * static_cast<double>(vocabulary);
  const auto e = static_cast<double>(element_size);
  work.passes.push_back({"classifier", e * (2 * logits + 2 * states) + 16 * static_cast<double>(d * vocabulary)});
  work.passes.push_back({"embedding", 5 * e * states});
  if (ranks > 1) {
    // Each half once forward and once backward, and where the stream is split its norm is gathered again; the embedding, the
    // states' gradient, and three floats a position of the loss.
    const double sums = (sequence_ ? 5 : 4) * layers * (o.partial_attention ? 1.5 : 1) + 2;
    work.tensor_bytes = sums * e * states + 12 * n * static_cast<double>(ranks);
    work.tensor_messages = sums + work.linears.back().count;
  }
  return work;
}

// In bytes of bf16; see fused_halves.cpp.
void Decoder::describe_fused(ModelWork& work, double tokens) const {
  const auto& o = options_;
  const double ranks = mesh_.tensor().size(), layers = static_cast<double>(o.num_layers), d = static_cast<double>(o.hidden_size);
  const double heads = static_cast<double>(o.num_heads), kv = d * static_cast<double>(o.num_kv_heads) / heads;
  const double qkv = (d + 2 * kv) / ranks, f = static_cast<double>(o.feed_forward_size) / ranks;
  const double inner = is_gated(o.activation) ? 2 * f : f;
  const double stream = sequence_ ? 1 / ranks : 1;  // of the residual stream, on this rank
  const bool renorms = recompute_ != Recompute::none;

  // Of a token, in elements. Forward the sum and its norm are two in, two out; backward three in, one out.
  const double norms = stream * ((2 * layers + 1) * 8 * d + (renorms ? 2 * layers * 2 * d : 0));
  const double turns = o.position == PositionKind::rotary ? layers * 4 * (d + kv) / ranks : 0;
  // GELU's tanh form runs inside the products where that is faster, and then costs about what it keeps and reads again.
  const double activations = layers * (o.activation == Activation::gelu_tanh ? 2 * f : 2 * (inner + f) + inner);
  // The norms sum the gradients of the output biases before them.
  const double biases = o.bias == BiasKind::none ? 0 : layers * (qkv + (o.bias == BiasKind::all ? f : 0));
  work.passes.push_back({"norms", 2 * tokens * norms});
  work.passes.push_back({"rotary", 2 * tokens * turns});
  work.passes.push_back({"activations", 2 * tokens * activations});
  work.passes.push_back({"bias gradients", 2 * tokens * biases});
  work.launches = 40 * layers + 40;

  // Both halves' sums and statistics; queries, keys, values, what attention mixed and its statistics; around the activation.
  const double inputs = stream * (2 * d + 8), attention = qkv + d / ranks + 2 * heads / ranks,
               normed = renorms ? 0 : stream * 2 * d;
  const double after = recompute_ == Recompute::none || recompute_ == Recompute::norms ? f : 0;
  const bool again = recompute_ == Recompute::block;
  const double block = again ? stream * (d + 4) : inputs + normed + attention + inner + after;
  // Embedding, last sum, states, their gradient and its scaled copy.
  work.kept_bytes = 2 * tokens * (layers * block + 5 * d);
  work.transient_bytes =
      2 * tokens * (2 * d + inner + (is_gated(o.activation) ? f : 0) + (again ? inputs + attention + inner + f : 0));
}

// Every operation by itself, its inputs kept by autograd.
void Decoder::describe_plain(ModelWork& work, double rows, double length, double element_size) const {
  const auto& o = options_;
  const double tokens = rows * length, d = static_cast<double>(o.hidden_size), layers = static_cast<double>(o.num_layers);
  const double shared = 1.0 / mesh_.tensor().size(), stream = sequence_ ? shared : 1.0,
               f = shared * static_cast<double>(o.feed_forward_size);
  const double qkv = shared * d * (1 + 2 * static_cast<double>(o.num_kv_heads) / static_cast<double>(o.num_heads));

  // Elements of one token that are read and written: additions and norms, turned heads, activations, sums of bias gradients.
  const bool gated = is_gated(o.activation);
  const double norms = stream * (2 * layers + 1) * (o.norm == NormKind::rms_norm ? 24 : 15) * d;
  const double copies = layers * (4 * qkv + 6 * d + (o.position == PositionKind::rotary ? 12 * qkv : 0));
  const double biases = o.bias == BiasKind::none ? 0 : layers * (qkv + (o.bias == BiasKind::all ? 2 * d + f : 0));
  work.passes.push_back({"norms and additions", element_size * tokens * norms});
  work.passes.push_back({"copies", element_size * tokens * copies});
  work.passes.push_back({"activations", element_size * tokens * layers * (gated ? 14 : 5) * f});
  work.passes.push_back({"bias gradients", element_size * tokens * biases});
  work.launches = 90 * layers + 60;

  // Floats of one token that are kept. A block keeps its input and its middle; what both norms return, and an RMS norm the
  // unscaled values too; queries, keys, values (spread to all heads) and what attention mixed; before and after each activation;
  // masks of dropout.
  const double inner = f * (gated ? 4 : 2);
  double block =
      stream * (2 * d + (o.norm == NormKind::rms_norm ? 4 : 2) * d + (o.dropout > 0 ? 2 * d : 0)) + shared * 4 * d + inner;
  if (o.partial_attention) {
    block += stream * (d + (o.norm == NormKind::rms_norm ? 4 : 2) * d + 3 * d + (o.dropout > 0 ? d : 0)) + shared * 4 * d;
  }
  // Around the blocks: the embedding, the last norm, and the gradient that the loss leaves for its states.
  double around = 4 * d + (o.dropout > 0 ? d : 0);
  // Backward holds the gradients of one half's inside beside those of its ends.
  double widest = inner + 3 * d;
  if (o.position == PositionKind::relative) {
    // A learned bias keeps attention from running fused: probabilities are kept, and backward holds two more of their size.
    const double scores = shared * static_cast<double>(o.num_heads) * length;
    block += scores;
    widest = std::max(widest, 2 * scores + 3 * d);
    around += 2 * scores / rows;
  } else if (o.visibility != Visibility::causal || o.window > 0) {
    around += 2 * length;
  }
  const bool again = recompute_ == Recompute::block;
  work.kept_bytes = element_size * tokens * (layers * (again ? d : block) + around);
  work.transient_bytes = element_size * tokens * (widest + (again ? block : 0));
}

}  // namespace lacuna
