#include "trainer/model/encoder_decoder.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "trainer/model/attention_pattern.h"
#include "trainer/model/decoder.h"

namespace lacuna {
namespace {

EncoderDecoderOptions with_defaults(EncoderDecoderOptions o) {
  set_block_defaults(o);
  if (o.encoder_layers == 0) o.encoder_layers = o.num_layers;
  if (o.decoder_layers == 0) o.decoder_layers = o.num_layers;
  return o;
}

// What the two sides' blocks have in common with a decoder's.
DecoderOptions block_options(const EncoderDecoderOptions& o, int64_t num_layers) {
  auto block = block_of(o, Visibility::causal, o.position);
  block.num_layers = num_layers;
  return block;
}

}  // namespace

void EncoderDecoder::check(const Options& given, const Section& section, int64_t tensor_size) {
  const auto o = with_defaults(given);
  Decoder::check(block_options(o, o.decoder_layers), section, tensor_size);
  if (o.centred_encoder && o.position != PositionKind::rotary) {
    throw section.error("centred_encoder", "counts rotary positions; set position = \"rotary\"");
  }
  if (o.scaled_logits && !o.tied_embedding) {
    throw section.error("scaled_logits", "is for a tied head; set tied_embedding = true, or this to false");
  }
  for (const auto& [key, tied] : {std::pair("shared_sides", o.shared_sides), {"coordinated_layers", o.coordinated_layers}}) {
    if (tied && o.encoder_layers != o.decoder_layers) {
      throw section.error(key,
                          "ties each layer to one of the other side, so encoder_layers = " + std::to_string(o.encoder_layers) +
                              " must equal decoder_layers = " + std::to_string(o.decoder_layers));
    }
  }
  if (!o.consecutive_positions) return;
  const auto refuse = [&](const std::string& why) { throw section.error("consecutive_positions", why); };
  if (o.centred_encoder)
    refuse("counts on from the source's last position, which centred_encoder moves; set one of the two to false");
  if (o.position != PositionKind::learned && o.position != PositionKind::rotary) {
    refuse("moves learned and rotary positions; set position to one of these, or this to false");
  }
  if (o.position == PositionKind::rotary && !o.joint_softmax) {
    refuse("changes nothing, since rotary positions tell distances and cross-attention has none; set joint_softmax = true");
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
    const int64_t places = o.consecutive_positions ? 2 * max_length_ : max_length_;
    const auto table = [&](const char* name) { return context.parameters.declare_table(*this, name, places, o.hidden_size); };
    encoder_position_ = table("encoder_position");
    decoder_position_ = o.shared_sides ? encoder_position_ : table("decoder_position");
  }
  if (o.position == PositionKind::relative) {
    encoder_bias_ = register_module("encoder_bias",
                                    std::make_shared<RelativeBias>(context, o.num_heads, /*bidirectional=*/!o.causal_encoder));
    decoder_bias_ = o.shared_sides && o.causal_encoder
                        ? encoder_bias_
                        : register_module("decoder_bias", std::make_shared<RelativeBias>(context, o.num_heads, false));
  }
  // The layers of both sides draw their dropout from places of their own.
  for (int64_t i = 0; i < o.encoder_layers; ++i) {
    encoder_.push_back(register_module("encoder" + std::to_string(i),
                                       std::make_shared<DecoderBlock>(context, block_options(o, o.encoder_layers), i)));
  }
  encoder_norm_ = register_module("encoder_norm", norm());
  for (int64_t i = 0; i < o.decoder_layers; ++i) {
    const auto* shared = o.shared_sides ? encoder_[static_cast<size_t>(i)].get() : nullptr;
    decoder_.push_back(
        register_module("decoder" + std::to_string(i),
                        std::make_shared<CrossBlock>(context, block_options(o, o.decoder_layers), i, o.joint_softmax, shared)));
  }
  decoder_norm_ = o.shared_sides ? encoder_norm_ : register_module("decoder_norm", norm());
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

std::optional<RotaryAngles> EncoderDecoder::angles_of(const at::Tensor& positions) const {
  if (options_.position != PositionKind::rotary) return std::nullopt;
  return rotary_angles(positions, options_.hidden_size / options_.num_heads, options_.rotary_base);
}

EncoderDecoder::Encoded EncoderDecoder::encode(const Batch& batch, bool top) const {
  const auto& o = options_;
  Batch side;
  side.tokens = batch.encoder_tokens;
  side.segments = batch.encoder_segments;
  auto pattern = attention_pattern(o.causal_encoder ? Visibility::causal : Visibility::full, 0, side);
  const int64_t length = side.length();
  if (encoder_bias_) add_scores(pattern, encoder_bias_->forward(length, length));
  const auto positions =
      batch.encoder_positions.defined() ? batch.encoder_positions : at::arange(length, side.tokens.options().dtype(at::kInt));
  auto x = embed_side(side.tokens, positions, "encoder", batch.stream_positions);
  Encoded encoded{.levels = {}, .top = {}, .angles = angles_of(o.centred_encoder ? positions - (length - 1) / 2 : positions)};
  const auto* angles = encoded.angles ? &*encoded.angles : nullptr;
  for (const auto& block : encoder_) {
    if (o.coordinated_layers) encoded.levels.push_back(block->parts().attention_norm->forward(x));
    if (o.coordinated_layers && !top && block == encoder_.back()) return encoded;
    x = block->forward(x, stream(), pattern, angles, nullptr, batch.stream_positions);
  }
  if (!o.coordinated_layers) encoded.levels.assign(decoder_.size(), encoder_norm_->forward(x));
  if (top) encoded.top = for_head(x, *encoder_norm_);
  return encoded;
}

at::Tensor EncoderDecoder::for_head(const at::Tensor& x, const Norm& norm) const {
  const auto states = norm.forward(x);
  return options_.scaled_logits ? states / std::sqrt(static_cast<double>(options_.hidden_size)) : states;
}

std::vector<KeyValues> EncoderDecoder::read(const Encoded& source) const {
  std::vector<KeyValues> memories;
  for (size_t i = 0; i < decoder_.size(); ++i) {
    memories.push_back(decoder_[i]->read(source.levels[i], stream(), source.angles ? &*source.angles : nullptr));
  }
  return memories;
}

at::Tensor EncoderDecoder::target_positions(const Batch& batch) const {
  const auto positions =
      batch.positions.defined() ? batch.positions : at::arange(batch.length(), batch.tokens.options().dtype(at::kInt));
  if (!options_.consecutive_positions) return positions;
  if (!batch.segments.defined() || !batch.encoder_segments.defined()) return positions + batch.encoder_tokens.size(1);
  const auto same = batch.segments.unsqueeze(-1).eq(batch.encoder_segments.unsqueeze(-2));  // (B, T, S)
  return positions + same.sum(-1, false, at::kInt);
}

EncoderDecoder::Patterns EncoderDecoder::patterns(const Batch& batch) const {
  const bool joint = options_.joint_softmax;
  Patterns patterns{joint ? joint_pattern(batch) : attention_pattern(Visibility::causal, 0, batch),
                    joint ? AttentionPattern{} : cross_pattern(batch)};
  if (decoder_bias_) {
    const auto scores = decoder_bias_->forward(batch.length(), batch.length());
    add_scores(patterns.self, joint ? at::constant_pad_nd(scores, {batch.encoder_tokens.size(1), 0}) : scores);
  }
  return patterns;
}

at::Tensor EncoderDecoder::decode(const Batch& batch, const at::Tensor& positions, const std::vector<KeyValues>& memories,
                                  const Patterns& patterns, std::vector<KeyValueCache>* caches) const {
  auto x = embed_side(batch.tokens, positions, "decoder", batch.stream_positions);
  const auto angles = angles_of(positions);
  const CrossPass pass{stream(), patterns.self, patterns.cross, angles ? &*angles : nullptr, batch.stream_positions};
  for (size_t i = 0; i < decoder_.size(); ++i) {
    x = decoder_[i]->forward(x, pass, memories[i], caches != nullptr ? &(*caches)[i] : nullptr);
  }
  return for_head(x, *decoder_norm_);
}

Hidden EncoderDecoder::forward(const Batch& batch) {
  return {decode(batch, target_positions(batch), read(encode(batch, /*top=*/false)), patterns(batch), nullptr)};
}

std::vector<SourceMass> EncoderDecoder::source_attention(const Batch& batch) {
  const torch::NoGradGuard no_grad;
  const auto options = batch.tokens.options().dtype(at::kBool);
  const auto all_of_it = at::ones({1, batch.encoder_tokens.size(1)}, options), none = at::zeros({1, batch.length()}, options);
  AttentionWatch self{.marked = options_.joint_softmax ? at::cat({all_of_it, none}, 1) : none, .masses = {}};
  AttentionWatch cross{.marked = all_of_it, .masses = {}};
  auto watched = patterns(batch);
  watched.self.watch = &self;
  watched.cross.watch = &cross;
  decode(batch, target_positions(batch), read(encode(batch, /*top=*/false)), watched, nullptr);
  std::vector<SourceMass> masses{source_mass("self", self, mesh_.tensor())};
  if (!options_.joint_softmax) masses.push_back(source_mass("source", cross, mesh_.tensor()));
  return masses;
}

TwoSided::States EncoderDecoder::forward_both(const Batch& batch) {
  const auto encoded = encode(batch, /*top=*/true);
  return {decode(batch, target_positions(batch), read(encoded), patterns(batch), nullptr), encoded.top};
}

}  // namespace lacuna
