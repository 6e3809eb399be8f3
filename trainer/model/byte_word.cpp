#include "trainer/model/byte_word.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>

#include <algorithm>

#include "data/error.h"
#include "trainer/model/recomputed.h"

namespace lacuna {
namespace {

int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

ByteWordOptions with_defaults(ByteWordOptions o) {
  set_block_defaults(o);
  if (o.character_layers == 0) o.character_layers = std::clamp<int64_t>(o.num_layers / 3, 1, 3);
  if (o.character_heads == 0) o.character_heads = o.num_heads;
  if (o.character_size == 0) o.character_size = round_up((o.hidden_size + 2) / 3, 8 * o.character_heads);
  if (o.character_feed_forward_size == 0) {
    o.character_feed_forward_size = round_up(o.feed_forward_size * o.character_size / o.hidden_size, 8 * o.character_heads);
  }
  return o;
}

DecoderOptions backbone_shape(const ByteWordOptions& o) { return block_of(o, Visibility::causal, PositionKind::rotary); }

DecoderOptions character_shape(const ByteWordOptions& o) {
  auto shape = backbone_shape(o);
  shape.num_layers = o.character_layers;
  shape.hidden_size = o.character_size;
  shape.num_heads = shape.num_kv_heads = o.character_heads;
  shape.feed_forward_size = o.character_feed_forward_size;
  return shape;
}

}  // namespace

void ByteWord::check(const Options& given, const Section& section, int64_t tensor_size) {
  const auto o = with_defaults(given);
  Decoder::check(backbone_shape(o), section, tensor_size);
  section.check_multiple("character_size", o.character_size, 2 * o.character_heads, "2 x character_heads");
  section.check_multiple("character_heads", o.character_heads, tensor_size, "parallel.tensor");
  section.check_multiple("character_feed_forward_size", o.character_feed_forward_size, tensor_size, "parallel.tensor");
  if (o.max_word_bytes < o.bytes_per_word + 3) {
    throw section.error("max_word_bytes", std::to_string(o.max_word_bytes) +
                                              " is too short for bytes_per_word = " + std::to_string(o.bytes_per_word) +
                                              ": a row's slots must hold it in full words, so use at least " +
                                              std::to_string(o.bytes_per_word + 3));
  }
}

ByteWord::ByteWord(const Options& given, const ModelContext& context)
    : options_(with_defaults(given)),
      mesh_(context.mesh),
      operations_(context.operations),
      fused_(context.fused),
      recompute_(context.recompute),
      deterministic_(context.deterministic),
      max_length_(context.max_length),
      vocabulary_size_(context.vocabulary_size),
      random_(Random(context.seed, 1).fork("dropout").fork("bytes")) {
  const auto& o = options_;
  const auto parameter = [&](const char* name, std::vector<int64_t> shape) {
    return context.parameters.declare(*this, name, std::move(shape), -1, 1, InitialValues::normal);
  };
  embedding_ = register_module("embedding", std::make_shared<VocabParallelEmbedding>(context, o.character_size));
  mark_ = parameter("mark", {o.character_size});
  encoder_ = make_part(context, "encoder", character_shape(o), 0);
  to_word_ = parameter("to_word", {o.hidden_size, o.character_size});
  start_ = parameter("start", {o.hidden_size});
  backbone_ = make_part(context, "backbone", backbone_shape(o), o.character_layers);
  to_bytes_ = parameter("to_bytes", {o.character_size, o.hidden_size});
  decoder_ = make_part(context, "decoder", character_shape(o), o.character_layers + o.num_layers);
  auto head_weight = embedding_->weight();
  if (!o.tied_embedding) {
    head_weight = context.parameters.declare(*this, "head_weight", {padded_vocabulary(vocabulary_size_), o.character_size}, 0,
                                             mesh_.tensor().size(), InitialValues::normal);
  }
  head_ = std::make_shared<Head>(mesh_.tensor(), head_weight, vocabulary_size_, operations_);
}

// Blocks draw their dropout by number, so those of the three parts are numbered through.
ByteWord::Part ByteWord::make_part(const ModelContext& context, const std::string& name, const DecoderOptions& shape,
                                   int64_t first_layer) {
  Part part;
  for (int64_t i = 0; i < shape.num_layers; ++i) {
    part.blocks.push_back(register_module(name + std::to_string(i), std::make_shared<DecoderBlock>(context, shape, first_layer + i)));
  }
  part.norm = register_module(name + "_norm", std::make_shared<Norm>(context, shape.norm, shape.hidden_size,
                                                                     shape.bias == BiasKind::all, shape.norm_epsilon));
  return part;
}

WordLimits ByteWord::limits() const {
  return {.row_length = max_length_,
          .max_words = (max_length_ + options_.bytes_per_word - 1) / options_.bytes_per_word,
          .max_bytes = options_.max_word_bytes};
}

void ByteWord::complete(Batch& batch) const { batch.words = row_words(batch.tokens, limits()); }

RotaryAngles ByteWord::character_angles(const at::Tensor& positions) const {
  return rotary_angles(positions, options_.character_size / options_.character_heads, options_.rotary_base);
}

RotaryAngles ByteWord::word_angles(const at::Tensor& positions) const {
  return rotary_angles(positions, options_.hidden_size / options_.num_heads, options_.rotary_base);
}

at::Tensor ByteWord::run(const Part& part, at::Tensor x, const Pass& pass) const {
  const bool recomputes = recompute_ != Recompute::none && is_training() && at::GradMode::is_enabled();
  if (recomputes && recompute_ != Recompute::block) {
    throw usage_error(
        "parallel.recompute = \"norms\" and \"feed_forward\" are for fused blocks (precision.compute = \"bf16\" on a GPU); use "
        "\"block\" or \"none\"");
  }
  for (size_t i = 0; i < part.blocks.size(); ++i) {
    const auto body = [block = part.blocks[i], stream = stream(), pass](const at::Tensor& from, KeyValueCache* cache) {
      return block->forward(from, stream, pass.pattern, &pass.angles, cache, pass.stream_positions);
    };
    x = recomputes ? recomputed(x, [body](const at::Tensor& from) { return body(from, nullptr); })
                   : body(x, pass.caches != nullptr ? &(*pass.caches)[i] : nullptr);
  }
  return part.norm->forward(x);
}

at::Tensor ByteWord::run(const Part& part, const at::Tensor& from, const FusedPass& pass) const {
  ResidualStream x{from, {}};
  for (const auto& block : part.blocks) x = block->forward(x, stream(), pass.pattern, pass.rotary, pass.positions, recompute_);
  return final_norm(x, part.norm->weights(), part.norm->parameters());
}

std::string ByteWord::not_fused(bool training) const {
  const int64_t ranks = mesh_.tensor().size(), head_size = options_.character_size / options_.character_heads;
  if (head_size > kLargestRunHead) {
    return "heads of " + std::to_string(head_size) + " inside of words, more than " + std::to_string(kLargestRunHead);
  }
  const auto characters = DecoderBlock::not_fused(character_shape(options_), ranks, training);
  return characters.empty() ? DecoderBlock::not_fused(backbone_shape(options_), ranks, training) : "inside of words: " + characters;
}

PackedPattern ByteWord::word_pattern(int64_t rows) const {
  auto heads = backbone_.blocks.front()->packed_heads();
  heads.deterministic = deterministic_;
  return {heads, {}, rows, limits().max_words, /*segments=*/false, /*num_documents=*/0};
}

Hidden ByteWord::forward(const Batch& batch) {
  if (batch.segments.defined())
    throw usage_error("byte_word does not keep the documents of a row apart; set data.document_mask = false");
  if (batch.length() > max_length_) throw usage_error("the text is longer than the network's rows");
  const auto device = batch.tokens.device();
  const auto numbers = batch.words.defined() ? batch.words : row_words(batch.tokens.cpu(), limits()).to(device);
  const auto& o = options_;
  const int64_t rows = batch.rows(), num_words = limits().max_words;
  const WordSlots slots(numbers, num_words, o.max_word_bytes);
  const bool fused = fused_ && not_fused(is_training()).empty();
  if (fused && !word_rotary_.cosine.defined()) {
    character_rotary_ = rotary_table(o.max_word_bytes + 1, o.character_size / o.character_heads, o.rotary_base, device);
    word_rotary_ = rotary_table(num_words, o.hidden_size / o.num_heads, o.rotary_base, device);
  }
  const auto character_positions = fused ? slots.positions().to(at::kInt) : at::Tensor();
  const auto within_words = [&](const Part& part, const at::Tensor& x, bool causal) {
    if (!fused) {
      return run(part, x, Pass{slots.within_words(causal), character_angles(slots.positions()), batch.stream_positions});
    }
    auto pattern = part.blocks.front()->packed_heads();
    pattern.causal = causal;
    pattern.run_first = slots.first();
    pattern.run_end = slots.end();
    return run(part, x, FusedPass{pattern, character_rotary_, character_positions});
  };
  const auto over_words = [&](const at::Tensor& x) {
    if (fused) return run(backbone_, x, FusedPass{word_pattern(rows).of(batch), word_rotary_, {}});
    const auto angles = word_angles(at::arange(num_words, batch.tokens.options()));
    return run(backbone_, x, Pass{{.causal = true, .scores = {}}, angles, batch.stream_positions});
  };

  auto bytes = embedding_->forward(batch.tokens, stream());
  if (is_training()) bytes = stream().drop(bytes, o.dropout, random_, batch.stream_positions);
  const auto marks = mark_.expand({rows, slots.num_heads(), o.character_size});
  const auto encoded = within_words(encoder_, slots.join(marks, bytes), /*causal=*/false);
  // What is said at a place is for the word behind those that have been read: the last word is for nobody.
  const auto words = at::cat({start_.expand({rows, 1, o.hidden_size}), to_word(slots.heads(encoded, num_words - 1))}, 1);
  const auto said = at::constant_pad_nd(to_bytes(over_words(words)), {0, 0, 0, slots.num_heads() - num_words});
  return {slots.bytes(within_words(decoder_, slots.join(said, bytes), /*causal=*/true))};
}

}  // namespace lacuna
