// An encoder that sees its text whole and a decoder that attends to it (T5; Raffel et al. 2020, section 2.1): pre-norm blocks,
// one embedding for both sides and the head, cross-attention without positions. Relative positions are T5's, one table for all
// layers of the encoder (both directions) and one for all of the decoder; rotary ones turn the self-attentions alone, and
// `centred_encoder` counts the encoder's from its middle ("Return of the Encoder", Elfeki et al. 2025, and its released code).
//
// T5 divides the logits of a tied head by the root of hidden_size, as its embeddings begin with a deviation of 1; ours begin with
// 0.02, so that this is an option (scaled_logits). Its attention does not scale scores, which ours does.
//
// encoder_layers and decoder_layers default to num_layers each, which gives a network of the depth that a token passes in the
// decoder of num_layers (Wang et al. 2022, section 3): twice its parameters, about its FLOPs.
//
// Five ties, each by itself, lead from there to a causal language model over [source; targets], which all of them together are:
// the regularised encoder-decoder (RED) of Fu et al. 2023, "Decoder-Only or Encoder-Decoder? Interpreting Language Model as a
// Regularized Encoder-Decoder". Its parts are recalled, not read, and what they leave open is decided here:
//   shared_sides           Layers and learned positions of both sides are the same parameters, and so are the relative biases
//                          where both look back alone; what one side lacks (cross-attention) stays the other's own.
//   coordinated_layers     Decoder layer l reads what the attention of encoder layer l reads, its normalised input, in place of
//                          the encoder's output. What the last encoder layer makes of it is then read by a loss on the source
//                          alone (objective.source_loss), without which it is not computed.
//   joint_softmax          One attention over [source; targets up to its own] in place of two; it takes no parameters beyond the
//                          self-attention's. Rotary positions turn the source's keys too; relative biases leave them alone.
//   consecutive_positions  Targets count on from their source's last position. Learned positions have two rows for each of a
//                          row's.
//   causal_encoder         A source token sees those before it alone.
// The sixth is a loss on the source and an objective's. Rows start the decoder with the source's last token, which such a
// language model then reads twice.
#pragma once
#include "trainer/config/section.h"
#include "trainer/model/cross_block.h"
#include "trainer/model/embedding.h"
#include "trainer/model/relative_bias.h"
#include "trainer/model/source_attention.h"
#include "trainer/model/two_sided.h"

namespace lacuna {

struct EncoderDecoderOptions {
  int64_t num_layers = 4;
  int64_t encoder_layers = 0;
  int64_t decoder_layers = 0;
  int64_t hidden_size = 128;
  int64_t num_heads = 4;
  int64_t num_kv_heads = 0;
  int64_t feed_forward_size = 0;
  NormKind norm = NormKind::rms_norm;
  double norm_epsilon = 1e-6;
  PositionKind position = PositionKind::relative;
  Activation activation = Activation::geglu;
  BiasKind bias = BiasKind::none;
  double rotary_base = 10000.0;
  bool centred_encoder = false;
  bool tied_embedding = true;
  bool scaled_logits = false;
  double dropout = 0.0;
  bool shared_sides = false;
  bool coordinated_layers = false;
  bool joint_softmax = false;
  bool consecutive_positions = false;
  bool causal_encoder = false;
};
template <class Visitor>
void describe(Visitor& visit, EncoderDecoderOptions& o) {
  describe_block(visit, o,
                 {.num_layers = "blocks of each side that is not told its own",
                  .hidden_size = "width of the residual streams",
                  .norm = "layer_norm or rms_norm, before each part of a block",
                  .position = "how positions enter the self-attentions",
                  .dropout = "on the embeddings and the residual branches"});
  visit("encoder_layers", o.encoder_layers, "blocks of the encoder; 0 = num_layers", between(0, 1000));
  visit("decoder_layers", o.decoder_layers, "blocks of the decoder; 0 = num_layers", between(0, 1000));
  visit("centred_encoder", o.centred_encoder, "rotary positions of the encoder count from its middle");
  visit("scaled_logits", o.scaled_logits, "logits of a tied head are divided by the root of hidden_size, as T5's");
  visit("shared_sides", o.shared_sides, "encoder and decoder have the same parameters, but for cross-attention");
  visit("coordinated_layers", o.coordinated_layers, "decoder layer l reads encoder layer l, not the encoder's output");
  visit("joint_softmax", o.joint_softmax, "one attention over source and targets in place of two");
  visit("consecutive_positions", o.consecutive_positions, "targets count on from their source's last position");
  visit("causal_encoder", o.causal_encoder, "a source token sees those before it alone");
}

class EncoderDecoder : public Architecture, public TwoSided, public SourceAttention {
 public:
  using Options = EncoderDecoderOptions;
  // Throws usage errors at the keys that do not go together, or not with the tensor axis.
  static void check(const Options& options, const Section& section, int64_t tensor_size);
  static Offers offers(const Options&) { return {.visibility = Visibility::causal, .encoder = true, .generates = true}; }

  EncoderDecoder(const Options& options, const ModelContext& context);
  Offers offers() const override { return offers(options_); }
  Hidden forward(const Batch& batch) override;
  States forward_both(const Batch& batch) override;
  bool source_is_causal() const override { return options_.causal_encoder; }
  bool source_needs_loss() const override { return options_.coordinated_layers && !options_.shared_sides; }
  Head& head() override { return *head_; }
  int64_t hidden_size() const override { return options_.hidden_size; }
  at::Tensor embed(const at::Tensor& ids) const override { return embedding_->forward(ids, stream()); }
  // As if there were as many targets as source tokens.
  ModelWork work(int64_t rows, int64_t length, int64_t element_size) const override;
  double flops_of_row(int64_t source, int64_t target) const override;
  double flops_of_source_loss(int64_t source) const override;
  // The prompt is the encoder's text; the decoder writes from the token that its training rows start with.
  std::unique_ptr<Generation> generate(int64_t rows) override;
  std::vector<SourceMass> source_attention(const Batch& batch) override;

 private:
  friend class EncoderDecoderGeneration;
  // A source after the encoder.
  struct Encoded {
    std::vector<at::Tensor> levels;      // (B, S, D), what each layer of the decoder reads
    at::Tensor top;                      // (B, S, D), what a head may read; undefined where it was not asked for
    std::optional<RotaryAngles> angles;  // that the encoder's keys were turned by
  };
  StreamLayout stream() const { return {.axis = &mesh_.tensor()}; }  // whole on every rank
  std::optional<RotaryAngles> angles_of(const at::Tensor& positions) const;
  at::Tensor embed_side(const at::Tensor& tokens, const at::Tensor& positions, std::string_view side,
                        const at::Tensor& stream_positions) const;
  Encoded encode(const Batch& batch, bool top) const;
  std::vector<KeyValues> read(const Encoded& source) const;
  // Positions of the targets: (T) or (B, T) int32.
  at::Tensor target_positions(const Batch& batch) const;
  // The decoder's patterns of whole rows.
  struct Patterns {
    AttentionPattern self, cross;
  };
  Patterns patterns(const Batch& batch) const;
  at::Tensor decode(const Batch& batch, const at::Tensor& positions, const std::vector<KeyValues>& memories,
                    const Patterns& patterns, std::vector<KeyValueCache>* caches) const;
  at::Tensor for_head(const at::Tensor& x, const Norm& norm) const;
  double flops_of_layer() const;  // products of a token in a layer without cross-attention, forward

  EncoderDecoderOptions options_;
  Mesh& mesh_;
  const Operations& operations_;
  int64_t max_length_, vocabulary_size_;
  Random random_;
  std::shared_ptr<VocabParallelEmbedding> embedding_;
  at::Tensor encoder_position_, decoder_position_;  // (max_length, D), learned
  std::shared_ptr<RelativeBias> encoder_bias_, decoder_bias_;
  std::vector<std::shared_ptr<DecoderBlock>> encoder_;
  std::vector<std::shared_ptr<CrossBlock>> decoder_;
  std::shared_ptr<Norm> encoder_norm_, decoder_norm_;
  std::shared_ptr<Head> head_;
};

}  // namespace lacuna
