// An encoder that sees its text whole and a decoder that attends to it (T5; Raffel et al. 2020, section 2.1): pre-norm blocks,
// one embedding for both sides and the head, cross-attention without positions. Relative positions are T5's, one table for all
// layers of the encoder (both directions) and one for all of the decoder; rotary ones turn the self-attentions alone, and
// `centred_encoder` counts the encoder's from its middle ("Return of the Encoder", Elfeki et al. 2025, and its released code).
//
// encoder_layers and decoder_layers default to num_layers each, which gives a network of the depth that a token passes in the
// decoder of num_layers (Wang et al. 2022, section 3): twice its parameters, about its FLOPs.
#pragma once
#include "trainer/model/cross_attention.h"
#include "trainer/model/decoder.h"
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
  double dropout = 0.0;
};
template <class Visitor>
void describe(Visitor& visit, EncoderDecoderOptions& o) {
  visit("num_layers", o.num_layers, "blocks of each side that is not told its own", between(1, 1000));
  visit("encoder_layers", o.encoder_layers, "blocks of the encoder; 0 = num_layers", between(0, 1000));
  visit("decoder_layers", o.decoder_layers, "blocks of the decoder; 0 = num_layers", between(0, 1000));
  visit("hidden_size", o.hidden_size, "width of the residual streams", between(1, 1 << 20));
  visit("num_heads", o.num_heads, "attention heads; divide hidden_size", between(1, 1 << 16));
  visit("num_kv_heads", o.num_kv_heads, "key and value heads; divide num_heads; 0 = num_heads", at_least(0));
  visit("feed_forward_size", o.feed_forward_size, "inner width of the feed-forward halves; 0 = 4 x hidden_size", at_least(0));
  visit("norm", o.norm, "layer_norm or rms_norm, before each part of a block");
  visit("norm_epsilon", o.norm_epsilon, "added to the variance", above(0));
  visit("position", o.position, "how positions enter the self-attentions");
  visit("activation", o.activation, "of the feed-forward halves; swiglu and geglu are gated");
  visit("bias", o.bias, "which linears have a bias; with all, layer norms too");
  visit("rotary_base", o.rotary_base, "base of the rotary angles", above(0));
  visit("centred_encoder", o.centred_encoder, "rotary positions of the encoder count from its middle");
  visit("tied_embedding", o.tied_embedding, "the head shares the embedding's table");
  visit("dropout", o.dropout, "on the embeddings and the residual branches", from_below(0, 1));
}

// One block of the decoder: x + self_attention(norm(x)), then + cross_attention(norm(x), encoder), then + feed_forward(norm(x)).
class CrossBlock : public torch::nn::Module {
 public:
  CrossBlock(const ModelContext& context, const DecoderOptions& options, int64_t layer);
  CrossAttention::Memory read(const at::Tensor& states, const StreamLayout& stream) const { return cross_->read(states, stream); }
  at::Tensor forward(at::Tensor x, const StreamLayout& stream, const AttentionPattern& pattern, const RotaryAngles* angles,
                     KeyValueCache* cache, const CrossAttention::Memory& memory, const AttentionPattern& cross_pattern,
                     const at::Tensor& stream_positions) const;

 private:
  double dropout_;
  Random random_;
  std::shared_ptr<Norm> self_norm_, cross_norm_, feed_forward_norm_;
  std::shared_ptr<Attention> self_;
  std::shared_ptr<CrossAttention> cross_;
  std::shared_ptr<FeedForward> feed_forward_;
};

class EncoderDecoder : public Architecture, public TwoSided {
 public:
  using Options = EncoderDecoderOptions;
  // Throws usage errors at the keys that do not go together, or not with the tensor axis.
  static void check(const Options& options, const Section& section, int64_t tensor_size);
  static Offers offers(const Options&) { return {.visibility = Visibility::causal, .encoder = true, .generates = true}; }

  EncoderDecoder(const Options& options, const ModelContext& context);
  Offers offers() const override { return offers(options_); }
  Hidden forward(const Batch& batch) override;
  Head& head() override { return *head_; }
  int64_t hidden_size() const override { return options_.hidden_size; }
  at::Tensor embed(const at::Tensor& ids) const override { return embedding_->forward(ids, stream()); }
  // As if there were as many targets as source tokens.
  ModelWork work(int64_t rows, int64_t length, int64_t element_size) const override;
  double flops_of_row(int64_t source, int64_t target) const override;
  // The prompt is the encoder's text; the decoder writes from the token that its training rows start with.
  std::unique_ptr<Generation> generate(int64_t rows) override;

 private:
  friend class EncoderDecoderGeneration;
  StreamLayout stream() const { return {.axis = &mesh_.tensor()}; }  // whole on every rank
  at::Tensor embed_side(const at::Tensor& tokens, const at::Tensor& positions, std::string_view side,
                        const at::Tensor& stream_positions) const;
  at::Tensor encode(const at::Tensor& tokens, const at::Tensor& segments, at::Tensor positions,
                    const at::Tensor& stream_positions) const;
  // `start`: positions that the caches hold already.
  at::Tensor decode(const Batch& batch, const std::vector<CrossAttention::Memory>& memories, const AttentionPattern& cross,
                    std::vector<KeyValueCache>* caches, int64_t start) const;
  std::vector<CrossAttention::Memory> read(const at::Tensor& encoded) const;

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
