#include "trainer/model/encoder_decoder.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/ones_like.h>

#include <cmath>

#include "trainer/model/attention_pattern.h"

namespace lacuna {
namespace {

EncoderDecoderOptions with_defaults(EncoderDecoderOptions o) {
  if (o.num_kv_heads == 0) o.num_kv_heads = o.num_heads;
  if (o.feed_forward_size == 0) o.feed_forward_size = 4 * o.hidden_size;
  if (o.encoder_layers == 0) o.encoder_layers = o.num_layers;
  if (o.decoder_layers == 0) o.decoder_layers = o.num_layers;
  return o;
}

// What the two sides' blocks have in common with a decoder's.
DecoderOptions block_options(const EncoderDecoderOptions& o, int64_t num_layers) {
  return {.num_layers = num_layers,
          .hidden_size = o.hidden_size,
          .num_heads = o.num_heads,
          .num_kv_heads = o.num_kv_heads,
          .feed_forward_size = o.feed_forward_size,
          .norm = o.norm,
          .norm_epsilon = o.norm_epsilon,
          .position = o.position,
          .activation = o.activation,
          .bias = o.bias,
          .rotary_base = o.rotary_base,
          .tied_embedding = o.tied_embedding,
          .dropout = o.dropout};
}

}  // namespace

CrossBlock::CrossBlock(const ModelContext& context, const DecoderOptions& o, int64_t layer)
    : dropout_(o.dropout), random_(Random(context.seed, 1).fork("cross_dropout").fork(static_cast<uint64_t>(layer))) {
  const bool bias = o.bias == BiasKind::all;
  const double output_deviation = 0.02 / std::sqrt(3.0 * static_cast<double>(o.num_layers));  // three branches a block
  const auto norm = [&] { return std::make_shared<Norm>(context, o.norm, o.hidden_size, bias, o.norm_epsilon); };
  const AttentionShape shape{.hidden_size = o.hidden_size,
                             .num_heads = o.num_heads,
                             .num_kv_heads = o.num_kv_heads,
                             .input_bias = o.bias != BiasKind::none,
                             .output_bias = bias,
                             .output_deviation = output_deviation};
  self_norm_ = register_module("self_norm", norm());
  self_ = register_module("self", std::make_shared<Attention>(context, shape));
  cross_norm_ = register_module("cross_norm", norm());
  cross_ = register_module("cross", std::make_shared<CrossAttention>(context, shape));
  feed_forward_norm_ = register_module("feed_forward_norm", norm());
  feed_forward_ = register_module("feed_forward", std::make_shared<FeedForward>(context, o.hidden_size, o.feed_forward_size,
                                                                                o.activation, bias, output_deviation));
}

at::Tensor CrossBlock::forward(at::Tensor x, const StreamLayout& stream, const AttentionPattern& pattern,
                               const RotaryAngles* angles, KeyValueCache* cache, const CrossAttention::Memory& memory,
                               const AttentionPattern& cross_pattern, const at::Tensor& stream_positions) const {
  const auto drop = [&](const at::Tensor& y, std::string_view part) {
    return is_training() ? stream.drop(y, dropout_, random_.fork(part), stream_positions) : y;
  };
  x = x + drop(self_->forward(self_norm_->forward(x), stream, pattern, angles, cache), "self");
  x = x + drop(cross_->forward(cross_norm_->forward(x), stream, memory, cross_pattern), "cross");
  return x + drop(feed_forward_->forward(feed_forward_norm_->forward(x), stream), "feed_forward");
}

void EncoderDecoder::check(const Options& given, const Section& section, int64_t tensor_size) {
  const auto o = with_defaults(given);
  Decoder::check(block_options(o, o.decoder_layers), section, tensor_size);
  if (o.centred_encoder && o.position != PositionKind::rotary) {
    throw section.error("centred_encoder", "counts rotary positions; set position = \"rotary\"");
  }
}

EncoderDecoder::EncoderDecoder(const Options& given, const ModelContext& context)
    : options_(with_defaults(given)),
      mesh_(context.mesh),
      operations_(context.operations),
      max_length_(context.max_length),
      vocabulary_size_(context.vocabulary_size),
      random_(Random(context.seed, 1).fork("dropout")) {
  const auto& o = options_;
  const bool bias = o.bias == BiasKind::all;
  const auto norm = [&] { return std::make_shared<Norm>(context, o.norm, o.hidden_size, bias, o.norm_epsilon); };
  embedding_ = register_module("embedding", std::make_shared<VocabParallelEmbedding>(context, o.hidden_size));
  if (o.position == PositionKind::learned) {
    encoder_position_ = context.parameters.declare_table(*this, "encoder_position", max_length_, o.hidden_size);
    decoder_position_ = context.parameters.declare_table(*this, "decoder_position", max_length_, o.hidden_size);
  }
  if (o.position == PositionKind::relative) {
    encoder_bias_ = register_module("encoder_bias", std::make_shared<RelativeBias>(context, o.num_heads, true));
    decoder_bias_ = register_module("decoder_bias", std::make_shared<RelativeBias>(context, o.num_heads, false));
  }
  // The layers of both sides draw their dropout from places of their own.
  for (int64_t i = 0; i < o.encoder_layers; ++i) {
    encoder_.push_back(register_module("encoder" + std::to_string(i),
                                       std::make_shared<DecoderBlock>(context, block_options(o, o.encoder_layers), i)));
  }
  encoder_norm_ = register_module("encoder_norm", norm());
  for (int64_t i = 0; i < o.decoder_layers; ++i) {
    decoder_.push_back(register_module("decoder" + std::to_string(i),
                                       std::make_shared<CrossBlock>(context, block_options(o, o.decoder_layers), i)));
  }
  decoder_norm_ = register_module("decoder_norm", norm());
  at::Tensor head_weight = embedding_->weight();
  if (!o.tied_embedding) {
    head_weight = context.parameters.declare_table(*this, "head_weight", padded_vocabulary(vocabulary_size_), o.hidden_size,
                                                   mesh_.tensor().size());
  }
  head_ = std::make_shared<Head>(mesh_.tensor(), head_weight, vocabulary_size_, operations_);
}

at::Tensor EncoderDecoder::embed_side(const at::Tensor& tokens, const at::Tensor& positions, std::string_view side,
                                      const at::Tensor& stream_positions) const {
  auto x = embedding_->forward(tokens, stream());
  const auto& table = side == "encoder" ? encoder_position_ : decoder_position_;
  if (table.defined()) x = x + operations_.embedding(positions, table, 0);
  return is_training() ? stream().drop(x, options_.dropout, random_.fork(side), stream_positions) : x;
}

at::Tensor EncoderDecoder::encode(const at::Tensor& tokens, const at::Tensor& segments, at::Tensor positions,
                                  const at::Tensor& stream_positions) const {
  Batch side;
  side.tokens = tokens;
  side.segments = segments;
  auto pattern = attention_pattern(Visibility::full, 0, side);
  const int64_t length = tokens.size(1);
  if (encoder_bias_) add_scores(pattern, encoder_bias_->forward(length, length));
  if (!positions.defined()) positions = at::arange(length, tokens.options().dtype(at::kInt));
  auto x = embed_side(tokens, positions, "encoder", stream_positions);
  std::optional<RotaryAngles> angles;
  if (options_.position == PositionKind::rotary) {
    const auto counted = options_.centred_encoder ? positions - (length - 1) / 2 : positions;
    angles = rotary_angles(counted, options_.hidden_size / options_.num_heads, options_.rotary_base);
  }
  for (const auto& block : encoder_)
    x = block->forward(x, stream(), pattern, angles ? &*angles : nullptr, nullptr, stream_positions);
  return encoder_norm_->forward(x);
}

std::vector<CrossAttention::Memory> EncoderDecoder::read(const at::Tensor& encoded) const {
  std::vector<CrossAttention::Memory> memories;
  for (const auto& block : decoder_) memories.push_back(block->read(encoded, stream()));
  return memories;
}

at::Tensor EncoderDecoder::decode(const Batch& batch, const std::vector<CrossAttention::Memory>& memories,
                                  const AttentionPattern& cross, std::vector<KeyValueCache>* caches, int64_t start) const {
  const int64_t length = batch.length();
  auto pattern = attention_pattern(Visibility::causal, 0, batch);
  if (decoder_bias_) {
    const auto scores = decoder_bias_->forward(length, start + length);
    if (start > 0) {
      pattern = {.causal = false, .scores = scores};  // one query, all keys allowed
    } else {
      add_scores(pattern, scores);
    }
  }
  const auto positions =
      batch.positions.defined() ? batch.positions : at::arange(start, start + length, batch.tokens.options().dtype(at::kInt));
  auto x = embed_side(batch.tokens, positions, "decoder", batch.stream_positions);
  std::optional<RotaryAngles> angles;
  if (options_.position == PositionKind::rotary) {
    angles = rotary_angles(positions, options_.hidden_size / options_.num_heads, options_.rotary_base);
  }
  for (size_t i = 0; i < decoder_.size(); ++i) {
    x = decoder_[i]->forward(x, stream(), pattern, angles ? &*angles : nullptr, caches != nullptr ? &(*caches)[i] : nullptr,
                             memories[i], cross, batch.stream_positions);
  }
  return decoder_norm_->forward(x);
}

Hidden EncoderDecoder::forward(const Batch& batch) {
  const auto encoded = encode(batch.encoder_tokens, batch.encoder_segments, batch.encoder_positions, batch.stream_positions);
  return {decode(batch, read(encoded), cross_pattern(batch), nullptr, 0)};
}

ModelWork EncoderDecoder::work(int64_t rows, int64_t length, int64_t element_size) const {
  const auto& o = options_;
  const int64_t ranks = mesh_.tensor().size(), head_size = o.hidden_size / o.num_heads, tokens = rows * length;
  const int64_t d = o.hidden_size, kv = o.num_kv_heads * head_size, f = o.feed_forward_size,
                gates = is_gated(o.activation) ? 2 : 1;
  const auto encoder = static_cast<double>(o.encoder_layers), decoder = static_cast<double>(o.decoder_layers);
  const auto n = static_cast<double>(tokens), e = static_cast<double>(element_size);
  ModelWork work{.tensor_ranks = ranks};
  const auto linear = [&](int64_t in, int64_t out, double count) {
    work.linears.push_back({.rows = tokens, .in = in, .out = out, .count = count});
  };
  const auto attention = [&](double visible, double count) {
    work.attention.push_back({.rows = rows,
                              .length = length,
                              .num_heads = o.num_heads / ranks,
                              .num_kv_heads = o.num_kv_heads / ranks,
                              .head_size = head_size,
                              .visible = visible,
                              .count = count});
  };
  linear(d, (d + 2 * kv) / ranks, encoder + 2 * decoder);
  linear(d / ranks, d, encoder + 2 * decoder);
  linear(d, gates * f / ranks, encoder + decoder);
  linear(f / ranks, d, encoder + decoder);
  linear(d, padded_vocabulary(vocabulary_size_) / ranks, 1);
  attention(1.0, encoder + decoder);  // of the encoder, and of the decoder to it
  attention(0.5, decoder);

  // Elements of a token that each layer keeps: its branches' inputs and norms, heads, and what surrounds the activation.
  const double wide = static_cast<double>(d), shared = 1.0 / static_cast<double>(ranks);
  const double inner = shared * static_cast<double>((2 * gates) * f), branch = wide * (o.norm == NormKind::rms_norm ? 3 : 2);
  const double scores = o.position == PositionKind::relative ? shared * static_cast<double>(o.num_heads * length) : 0;
  const double masks = o.dropout > 0 ? wide : 0;
  const double kept = encoder * (2 * (branch + masks) + shared * 4 * wide + inner + scores) +
                      decoder * (3 * (branch + masks) + shared * 8 * wide + inner + scores);
  work.kept_bytes = e * n * (kept + 8 * wide);
  work.transient_bytes = e * n * (inner + 3 * wide + 2 * scores);
  work.passes.push_back({"norms, activations and sums", 4 * e * n * kept});
  work.launches = 60 * (encoder + 1.5 * decoder);
  if (ranks > 1) {
    const double sums = 4 * encoder + 6 * decoder + 2;
    work.tensor_bytes = sums * e * n * wide;
    work.tensor_messages = sums;
  }
  return work;
}

// Reads the prompt into the encoder once; then a token costs the decoder one position's work. The first token that the decoder is
// given is the prompt's last, as rows of prefix_language have it.
class EncoderDecoderGeneration : public Generation {
 public:
  EncoderDecoderGeneration(const EncoderDecoder& network, int64_t rows) : network_(network), caches_(network.decoder_.size()) {
    const auto& o = network.options_;
    const int64_t kv_heads = o.num_kv_heads / network.mesh_.tensor().size();
    for (auto& cache : caches_) {
      cache.keys =
          at::empty({rows, kv_heads, network.max_length_, o.hidden_size / o.num_heads}, network.embedding_->weight().options());
      cache.values = at::empty_like(cache.keys);
    }
  }

  int64_t length() const override { return prompt_ + std::max<int64_t>(0, caches_.front().length - 1); }

  at::Tensor advance(const at::Tensor& tokens) override {
    const torch::NoGradGuard no_grad;
    const auto given = tokens.to(network_.embedding_->weight().device());
    if (prompt_ == 0) {
      prompt_ = given.size(1);
      if (prompt_ > network_.max_length_) throw usage_error("the text is longer than the network's rows");
      memories_ = network_.read(network_.encode(given, {}, {}, {}));
    } else if (given.size(1) != 1) {
      throw std::logic_error("after the prompt, tokens are read one at a time");
    }
    if (caches_.front().length >= network_.max_length_) throw usage_error("the text is longer than the network's rows");
    Batch batch;
    batch.tokens = given.narrow(1, given.size(1) - 1, 1);
    const auto states = network_.decode(batch, memories_, {.causal = false, .scores = {}}, &caches_, caches_.front().length);
    return network_.head_->logits(states.squeeze(1));
  }

 private:
  const EncoderDecoder& network_;
  std::vector<KeyValueCache> caches_;
  std::vector<CrossAttention::Memory> memories_;
  int64_t prompt_ = 0;
};

std::unique_ptr<Generation> EncoderDecoder::generate(int64_t rows) {
  return std::make_unique<EncoderDecoderGeneration>(*this, rows);
}

}  // namespace lacuna
