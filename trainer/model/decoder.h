// A stack of pre-norm transformer blocks over tokens: GPT-2 and Llama shapes are both settings of it, and so is a
// bidirectional encoder. GPT-2: Radford et al. 2019; initial values after its released code (residual outputs scaled by
// 1/sqrt(2 num_layers)). Dropout falls on the embedding and on what each half adds to the residual stream, not on attention
// probabilities, so that its masks do not depend on the layout.
//
// With visibility = "prefix" the visible prefix may be told apart as the source of what follows: by attention of its own
// (partial_attention.h), by a learned vector of either kind that is added to the embedding, and by targets that count their
// positions from 0 again (PALM; Fu et al. 2023).
#pragma once
#include "data/random.h"
#include "trainer/config/describe.h"
#include "trainer/config/section.h"
#include "trainer/model/architecture.h"
#include "trainer/model/attention.h"
#include "trainer/model/embedding.h"
#include "trainer/model/feed_forward.h"
#include "trainer/model/norm.h"
#include "trainer/model/packed_pattern.h"
#include "trainer/model/partial_attention.h"
#include "trainer/model/relative_bias.h"
#include "trainer/model/source_attention.h"

namespace lacuna {

enum class PositionKind { learned, rotary, relative, none };
constexpr std::array<std::string_view, 4> names_of(PositionKind) { return {"learned", "rotary", "relative", "none"}; }
enum class BiasKind { all, qkv, none };
constexpr std::array<std::string_view, 3> names_of(BiasKind) { return {"all", "qkv", "none"}; }

struct DecoderOptions {
  Visibility visibility = Visibility::causal;
  int64_t num_layers = 4;
  int64_t hidden_size = 128;
  int64_t num_heads = 4;
  int64_t num_kv_heads = 0;
  int64_t feed_forward_size = 0;
  NormKind norm = NormKind::layer_norm;
  double norm_epsilon = 1e-5;
  PositionKind position = PositionKind::learned;
  Activation activation = Activation::gelu;
  BiasKind bias = BiasKind::all;
  double rotary_base = 10000.0;
  bool tied_embedding = true;
  double dropout = 0.0;
  int64_t window = 0;
  bool partial_attention = false;
  bool type_embedding = false;
  bool separate_positions = false;
  bool post_norm = false;  // of blocks that others are made of; a Decoder has none
};
template <class Visitor>
void describe(Visitor& visit, DecoderOptions& o) {
  visit("visibility", o.visibility, "which positions a position may attend to");
  visit("num_layers", o.num_layers, "blocks", between(1, 1000));
  visit("hidden_size", o.hidden_size, "width of the residual stream", between(1, 1 << 20));
  visit("num_heads", o.num_heads, "attention heads; divide hidden_size", between(1, 1 << 16));
  visit("num_kv_heads", o.num_kv_heads, "key and value heads; divide num_heads; 0 = num_heads", at_least(0));
  visit("feed_forward_size", o.feed_forward_size, "inner width of the feed-forward half; 0 = 4 x hidden_size", at_least(0));
  visit("norm", o.norm, "layer_norm or rms_norm, before each half");
  visit("norm_epsilon", o.norm_epsilon, "added to the variance", above(0));
  visit("position", o.position, "how positions enter");
  visit("activation", o.activation, "of the feed-forward half; swiglu and geglu are gated");
  visit("bias", o.bias, "which linears have a bias; with all, layer norms too");
  visit("rotary_base", o.rotary_base, "base of the rotary angles", above(0));
  visit("tied_embedding", o.tied_embedding, "the head shares the embedding's table");
  visit("dropout", o.dropout, "on the embedding and the residual branches", from_below(0, 1));
  visit("window", o.window, "positions that a position sees, itself included, of a causal decoder; 0 = all before it",
        at_least(0));
  visit("partial_attention", o.partial_attention, "of a prefix decoder: each block also attends to the prefix alone (PALM)");
  visit("type_embedding", o.type_embedding, "of a prefix decoder: a learned vector tells the prefix from what follows");
  visit("separate_positions", o.separate_positions, "of a prefix decoder: what follows the prefix counts from 0 again");
}

// The layers of a block, for another one that shares them.
struct BlockParts {
  std::shared_ptr<Norm> attention_norm, feed_forward_norm;
  std::shared_ptr<Attention> attention;
  std::shared_ptr<FeedForward> feed_forward;
};

// One block: x + attention(norm(x)), where there is one + partial_attention(norm(x)), then + feed_forward(norm(x)). With
// post_norm, composed alone: norm(x + attention(x)), then norm(x + feed_forward(x)).
class DecoderBlock : public torch::nn::Module {
 public:
  DecoderBlock(const ModelContext& context, const DecoderOptions& options, int64_t layer);
  at::Tensor forward(at::Tensor x, const StreamLayout& stream, const AttentionPattern& pattern, const RotaryAngles* angles,
                     KeyValueCache* cache, const at::Tensor& stream_positions, const AttentionPattern* source = nullptr) const;
  // The same as two autograd nodes, without dropout.
  ResidualStream forward(ResidualStream x, const StreamLayout& stream, const PackedAttentionShape& pattern,
                         const RotaryTable& rotary, const at::Tensor& positions, Recompute recompute) const;
  // Why blocks of these options are not such nodes, in words for the user; empty where they are.
  static std::string not_fused(const DecoderOptions& options, int64_t tensor_ranks, bool training);
  PackedAttentionShape packed_heads() const { return attention_->packed_heads(); }
  BlockParts parts() const { return {attention_norm_, feed_forward_norm_, attention_, feed_forward_}; }

 private:
  at::Tensor drop(const at::Tensor& x, const StreamLayout& stream, std::string_view half,
                  const at::Tensor& stream_positions) const;

  double dropout_;
  bool post_norm_;
  Random random_;
  std::shared_ptr<Norm> attention_norm_, feed_forward_norm_;
  std::shared_ptr<Attention> attention_;
  std::shared_ptr<FeedForward> feed_forward_;
  std::shared_ptr<Norm> partial_norm_;  // these two null: none
  std::shared_ptr<PartialAttention> partial_;
};

class Decoder : public Architecture, public SourceAttention {
 public:
  using Options = DecoderOptions;
  // Throws usage errors at the keys that do not go together, or not with the tensor axis.
  static void check(const Options& options, const Section& section, int64_t tensor_size);
  static Offers offers(const Options& options);

  Decoder(const Options& options, const ModelContext& context);
  Offers offers() const override { return offers(options_); }
  Hidden forward(const Batch& batch) override;
  Head& head() override { return *head_; }
  bool waits_for_parameters() const override { return true; }
  bool splits_sequence() const override { return sequence_; }
  ModelWork work(int64_t rows, int64_t length, int64_t element_size) const override;
  int64_t hidden_size() const override { return options_.hidden_size; }
  at::Tensor embed(const at::Tensor& ids) const override { return embedding_->forward(ids, {.axis = &mesh_.tensor()}); }
  Backends backends(int64_t rows, int64_t length, bool documents) const override;
  std::unique_ptr<Generation> generate(int64_t rows) override;
  std::vector<SourceMass> source_attention(const Batch& batch) override;

 protected:
  friend class DecoderGeneration;
  // `source`: the pattern of partial attention; null where there is none.
  at::Tensor stack(const Batch& batch, const AttentionPattern& pattern, const at::Tensor& positions,
                   std::vector<KeyValueCache>* caches, const AttentionPattern* source) const;
  Hidden composed(const Batch& batch, AttentionWatch* watch, AttentionWatch* partial_watch) const;
  // The same of fused halves, and why they cannot carry it; empty where they can.
  at::Tensor fused_stack(const Batch& batch) const;
  std::string not_fused(bool training) const;
  PackedPattern packed_pattern(int64_t rows, int64_t length, bool segments, int64_t num_documents) const;
  void check_recompute(const AttentionPattern& pattern) const;  // throws where the composition cannot do what is asked
  StreamLayout stream_of(const Batch& batch) const;
  AttentionPattern pattern(const Batch& batch) const;
  // What is read before the first block, and behind the last one.
  void wait_for_input() const;
  void wait_for_output() const;
  // What work() says of memory and of kernels between products, for fused halves and for ordinary operations.
  void describe_fused(ModelWork& work, double tokens) const;
  void describe_plain(ModelWork& work, double rows, double length, double element_size) const;

  Options options_;
  Mesh& mesh_;
  const Operations& operations_;
  bool fused_, sequence_, deterministic_;
  Recompute recompute_;
  mutable std::string told_refusal_;  // of cuDNN's attention, the last that was told
  mutable RotaryTable rotary_;        // of the fused halves, made at their first use on the device where they are
  int64_t max_length_;
  int64_t vocabulary_size_;
  Random random_;
  std::shared_ptr<VocabParallelEmbedding> embedding_;
  at::Tensor position_;  // (max_length, D), learned
  at::Tensor type_;      // (2, D) of targets and of the source
  at::Tensor untied_head_;
  std::shared_ptr<RelativeBias> relative_bias_;
  std::vector<std::shared_ptr<DecoderBlock>> blocks_;
  std::shared_ptr<Norm> final_norm_;
  std::shared_ptr<Head> head_;
};

}  // namespace lacuna
