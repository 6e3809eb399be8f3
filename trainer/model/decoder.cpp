#include "trainer/model/decoder.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "data/documents.h"
#include "data/error.h"
#include "trainer/kernels/embedding.h"
#include "trainer/model/attention_pattern.h"
#include "trainer/model/recomputed.h"

namespace lacuna {
namespace {

DecoderOptions with_defaults(DecoderOptions o) {
  set_block_defaults(o);
  return o;
}

}  // namespace

void Decoder::check(const Options& given, const Section& section, int64_t tensor_size) {
  const auto o = with_defaults(given);
  section.check_multiple("hidden_size", o.hidden_size, o.num_heads, "num_heads");
  section.check_multiple("num_heads", o.num_heads, o.num_kv_heads, "num_kv_heads");
  section.check_multiple("num_heads", o.num_heads, tensor_size, "parallel.tensor");
  section.check_multiple("num_kv_heads", o.num_kv_heads, tensor_size, "parallel.tensor");
  section.check_multiple("feed_forward_size", o.feed_forward_size, tensor_size, "parallel.tensor");
  if (o.position == PositionKind::rotary && o.hidden_size / o.num_heads % 2 != 0) {
    throw section.error("num_heads", "rotary positions turn pairs of dimensions, so hidden_size / num_heads must be even");
  }
  if (o.window > 0 && o.visibility != Visibility::causal) {
    throw section.error("window", "a sliding window goes with visibility = \"causal\"; set it to 0 or change the visibility");
  }
  for (const auto& [key, told] : {std::pair("partial_attention", o.partial_attention),
                                  {"type_embedding", o.type_embedding},
                                  {"separate_positions", o.separate_positions}}) {
    if (told && o.visibility != Visibility::prefix) {
      throw section.error(key, "tells a prefix from what follows it; set visibility = \"prefix\", or this to false");
    }
  }
  if (o.separate_positions && o.position != PositionKind::learned && o.position != PositionKind::rotary) {
    throw section.error("separate_positions",
                        "moves learned and rotary positions; set position to one of these, or this to false");
  }
  if (kVocabularyAlignment % tensor_size != 0) {
    throw usage_error("parallel.tensor = " + std::to_string(tensor_size) + " must divide " +
                      std::to_string(kVocabularyAlignment) + ", the alignment of the vocabulary");
  }
}

Offers Decoder::offers(const Options& o) {
  return {.visibility = o.visibility,
          .withholds_positions = o.position == PositionKind::learned,
          .generates = o.visibility != Visibility::full};
}

Decoder::Decoder(const Options& given, const ModelContext& context)
    : options_(with_defaults(given)),
      mesh_(context.mesh),
      operations_(context.operations),
      fused_(context.fused),
      sequence_(context.sequence && context.mesh.tensor().size() > 1),
      deterministic_(context.deterministic),
      recompute_(context.recompute),
      max_length_(context.max_length),
      vocabulary_size_(context.vocabulary_size),
      random_(Random(context.seed, 1).fork("dropout").fork("embedding")) {
  const auto& o = options_;
  embedding_ = register_module("embedding", std::make_shared<VocabParallelEmbedding>(context, o.hidden_size));
  if (o.position == PositionKind::learned) {
    position_ = context.parameters.declare_table(*this, "position", max_length_, o.hidden_size);
  }
  if (o.type_embedding) type_ = context.parameters.declare(*this, "type", {2, o.hidden_size}, -1, 1, InitialValues::normal);
  if (o.position == PositionKind::relative) {
    const bool bidirectional = o.visibility != Visibility::causal;
    relative_bias_ = register_module("relative_bias", std::make_shared<RelativeBias>(context, o.num_heads, bidirectional));
  }
  for (int64_t i = 0; i < o.num_layers; ++i) {
    blocks_.push_back(register_module("block" + std::to_string(i), std::make_shared<DecoderBlock>(context, o, i)));
  }
  final_norm_ = register_module("final_norm",
                                std::make_shared<Norm>(context, o.norm, o.hidden_size, o.bias == BiasKind::all, o.norm_epsilon));
  if (!o.tied_embedding) {
    untied_head_ = context.parameters.declare_table(*this, "head_weight", padded_vocabulary(vocabulary_size_), o.hidden_size,
                                                    mesh_.tensor().size());
  }
  head_ = std::make_shared<Head>(mesh_.tensor(), o.tied_embedding ? embedding_->weight() : untied_head_, vocabulary_size_,
                                 operations_);
}

void Decoder::wait_for_input() const {
  wait_for(*embedding_);
  if (position_.defined()) wait_for({position_});
  if (type_.defined()) wait_for({type_});
  if (relative_bias_) wait_for(*relative_bias_);
}

void Decoder::wait_for_output() const {
  wait_for(*final_norm_);
  if (untied_head_.defined()) wait_for({untied_head_});
}

AttentionPattern Decoder::pattern(const Batch& batch) const {
  auto pattern = attention_pattern(options_.visibility, options_.window, batch);
  if (relative_bias_) add_scores(pattern, relative_bias_->forward(batch.length(), batch.length()));
  return pattern;
}

// What only evaluates may have any number of positions: where the axis does not divide it, the stream stays whole.
StreamLayout Decoder::stream_of(const Batch& batch) const {
  StreamLayout stream{.axis = &mesh_.tensor(), .rows = batch.rows(), .length = batch.length(), .split = sequence_};
  if (sequence_ && batch.rows() * batch.length() % stream.axis->size() != 0) {
    if (at::GradMode::is_enabled()) throw Error(ExitCode::internal, "the tensor axis does not divide a batch's positions");
    stream.split = false;
  }
  return stream;
}

at::Tensor Decoder::stack(const Batch& batch, const AttentionPattern& pattern, const at::Tensor& positions,
                          std::vector<KeyValueCache>* caches, const AttentionPattern* source) const {
  const auto stream = stream_of(batch);
  auto x = embedding_->forward(batch.tokens, stream);
  if (position_.defined()) x = x + operations_.embedding(stream.share(positions), position_, 0);
  if (type_.defined()) x = x + operations_.embedding(stream.share(batch.bidirectional.to(at::kInt)), type_, 0);
  if (is_training()) x = stream.drop(x, options_.dropout, random_, batch.stream_positions);
  std::optional<RotaryAngles> angles;
  if (options_.position == PositionKind::rotary) {
    angles = rotary_angles(positions, options_.hidden_size / options_.num_heads, options_.rotary_base);
  }
  const bool recomputes = recompute_ != Recompute::none && is_training() && at::GradMode::is_enabled();
  if (recomputes) check_recompute(pattern);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    wait_for(*blocks_[i]);
    const auto run = [block = blocks_[i], stream, pattern, angles, places = batch.stream_positions,
                      partial = source != nullptr ? *source : AttentionPattern{}](const at::Tensor& from, KeyValueCache* cache) {
      return block->forward(from, stream, pattern, angles ? &*angles : nullptr, cache, places, &partial);
    };
    x = recomputes ? recomputed(x, [run](const at::Tensor& from) { return run(from, nullptr); })
                   : run(x, caches ? &(*caches)[i] : nullptr);
  }
  wait_for_output();
  return stream.whole(final_norm_->forward(x));
}

void Decoder::check_recompute(const AttentionPattern& pattern) const {
  if (recompute_ != Recompute::block) {
    throw usage_error(
        "parallel.recompute = \"norms\" and \"feed_forward\" are for the fused blocks of precision.compute = \"bf16\" on a GPU, "
        "which do not carry this network; use \"block\" or \"none\"");
  }
  if (pattern.scores.defined() && pattern.scores.requires_grad()) {
    throw usage_error(
        "parallel.recompute = \"block\" does not go with architecture.position = \"relative\", whose bias all blocks share; "
        "use \"none\"");
  }
}

std::string Decoder::not_fused(bool training) const {
  return DecoderBlock::not_fused(options_, mesh_.tensor().size(), training);
}

PackedPattern Decoder::packed_pattern(int64_t rows, int64_t length, bool segments, int64_t num_documents) const {
  auto heads = blocks_.front()->packed_heads();
  heads.deterministic = deterministic_;
  return {heads, {options_.visibility, options_.window}, rows, length, segments, num_documents};
}

Backends Decoder::backends(int64_t rows, int64_t length, bool documents) const {
  const auto rule = in_words({options_.visibility, options_.window}, documents);
  if (!fused_) return {.attention = "scaled_dot_product_attention of ATen, " + rule, .not_fused = {}};
  if (auto reason = not_fused(/*training=*/true); !reason.empty()) {
    return {.attention = "scaled_dot_product_attention of ATen, " + rule, .not_fused = std::move(reason)};
  }
  if (!at::hasCUDA()) return {.attention = "cuDNN, or ATen where it refuses, " + rule, .not_fused = {}};  // a dry run for elsewhere
  return {.attention = packed_pattern(rows, length, documents, documents ? usual_documents(rows) : 0).backend() + ", " + rule,
          .not_fused = {}};
}

at::Tensor Decoder::fused_stack(const Batch& batch) const {
  const auto& o = options_;
  const int64_t num_documents = batch.documents.defined() ? batch.documents.size(0) - 1 : 0;
  const auto found = packed_pattern(batch.rows(), batch.length(), batch.segments.defined(), num_documents);
  // The banner speaks of training's first rows; others, and longer lists of documents, may fare otherwise.
  if (found.refusal() != told_refusal_ && mesh_.world().rank() == 0) {
    told_refusal_ = found.refusal();
    std::fprintf(stderr, "lacuna: %lld rows of attention by %s\n", static_cast<long long>(batch.rows()), found.backend().c_str());
  }
  const auto pattern = found.of(batch);
  if (o.position == PositionKind::rotary && !rotary_.cosine.defined()) {
    rotary_ = rotary_table(max_length_, o.hidden_size / o.num_heads, o.rotary_base, batch.tokens.device());
  }
  const auto stream = stream_of(batch);
  ResidualStream x = embedding_->forward(batch.tokens, stream, position_, batch.positions);
  for (const auto& block : blocks_) {
    wait_for(*block);
    x = block->forward(x, stream, pattern, rotary_, batch.positions, recompute_);
  }
  wait_for_output();
  return stream.whole(final_norm(x, final_norm_->weights(), final_norm_->parameters()));
}

Hidden Decoder::forward(const Batch& batch) {
  wait_for_input();
  if (fused_ && not_fused(is_training()).empty()) return {fused_stack(batch)};
  return composed(batch, nullptr, nullptr);
}

std::vector<SourceMass> Decoder::source_attention(const Batch& batch) {
  const torch::NoGradGuard no_grad;
  wait_for_input();
  AttentionWatch all{.marked = batch.bidirectional, .masses = {}}, source = all;
  composed(batch, &all, &source);
  std::vector<SourceMass> masses{source_mass("self", all, mesh_.tensor())};
  if (options_.partial_attention) masses.push_back(source_mass("source", source, mesh_.tensor()));
  return masses;
}

Hidden Decoder::composed(const Batch& batch, AttentionWatch* watch, AttentionWatch* partial_watch) const {
  auto all = pattern(batch), source = options_.partial_attention ? source_pattern(batch) : AttentionPattern{};
  auto positions =
      batch.positions.defined() ? batch.positions : at::arange(batch.length(), batch.tokens.options().dtype(at::kInt));
  if (options_.separate_positions) {
    positions = at::where(batch.bidirectional, positions, positions - source_counts(batch));
  }
  all.watch = watch;
  source.watch = partial_watch;
  return {stack(batch, all, positions, nullptr, &source)};
}

}  // namespace lacuna
