// Bytes inside of words (the hierarchical autoregressive transformer, HAT; Neitemeier et al. 2025, sections 3 and 4): a small
// encoder reads each word's bytes and its head, sees that word whole and nothing else, and gives the word one vector; a causal
// backbone runs over the words, one position each; a small causal decoder reads, for each word, what the backbone says behind the
// word before it, in the head's place, and then the word's bytes, and predicts from each byte the next one. The decoder sees
// nothing else of the past. Blocks are those of `decoder`, with rotary positions: within the word in encoder and decoder, by
// words in the backbone.
//
// The backbone reads a parameter, the start, before the first word, so that it speaks there too.
//
// One thing is decided otherwise than in the paper, whose decoder also predicts a mark behind each word, and the next word's
// first byte from the backbone's vector. Here the byte that opens a word says by itself that the last one has ended
// (data/tokenizer/word_splitter.h): a word's last byte predicts it, with the backbone's vector in the head and the word's bytes
// in sight. With spaces that belong to the word behind them it is mostly the space that stands where the paper has the mark. So a
// row has as many targets as bytes, bits per byte have no share of marks, and a prediction depends on the bytes up to it alone.
//
// Rows have a fixed number of word slots, one for every `bytes_per_word` bytes; a row with more words makes its last ones longer
// (data/row_words.h). Slots that remain are empty words at the row's end, which nothing reads.
#pragma once
#include "data/row_words.h"
#include "trainer/model/decoder.h"
#include "trainer/model/word_slots.h"

namespace lacuna {

struct ByteWordOptions {
  int64_t num_layers = 4;
  int64_t hidden_size = 128;
  int64_t num_heads = 4;
  int64_t feed_forward_size = 0;
  int64_t character_layers = 0;
  int64_t character_size = 0;
  int64_t character_heads = 0;
  int64_t character_feed_forward_size = 0;
  int64_t bytes_per_word = 4;
  int64_t max_word_bytes = 31;
  NormKind norm = NormKind::rms_norm;
  double norm_epsilon = 1e-5;
  Activation activation = Activation::swiglu;
  BiasKind bias = BiasKind::none;
  double rotary_base = 10000.0;
  bool tied_embedding = true;
  double dropout = 0.0;
};
template <class Visitor>
void describe(Visitor& visit, ByteWordOptions& o) {
  describe_block(visit, o,
                 {.num_layers = "blocks of the backbone over words",
                  .hidden_size = "width of the backbone",
                  .num_heads = "attention heads of the backbone; divide hidden_size",
                  .feed_forward_size = "inner width of the backbone's feed-forward halves; 0 = 4 x hidden_size",
                  .tied_embedding = "the head shares the bytes' embedding",
                  .dropout = "on the bytes' embedding and the residual branches"});
  visit("character_layers", o.character_layers,
        "blocks of the encoder, and as many of the decoder; 0 = num_layers / 3, from 1 to 3", between(0, 1000));
  visit("character_size", o.character_size, "their width; 0 = about hidden_size / 3, in heads of a multiple of 8",
        between(0, 1 << 20));
  visit("character_heads", o.character_heads, "their attention heads; divide character_size; 0 = num_heads", between(0, 1 << 16));
  visit("character_feed_forward_size", o.character_feed_forward_size,
        "inner width of their feed-forward halves; 0 = as many times their width as the backbone's", at_least(0));
  visit("bytes_per_word", o.bytes_per_word, "a row has one slot for a word for every so many bytes", between(1, 1 << 10));
  visit("max_word_bytes", o.max_word_bytes, "longer words are cut; at least bytes_per_word + 3", between(8, 1 << 10));
}

class ByteWord : public Architecture {
 public:
  using Options = ByteWordOptions;
  // Throws usage errors at the keys that do not go together, or not with the tensor axis.
  static void check(const Options& options, const Section& section, int64_t tensor_size);
  static Offers offers(const Options&) {
    return {.visibility = Visibility::causal, .bytes = true, .documents = false, .generates = true};
  }

  ByteWord(const Options& options, const ModelContext& context);
  Offers offers() const override { return offers(options_); }
  void complete(Batch& batch) const override;
  // Throws a usage error where the batch has segments.
  Hidden forward(const Batch& batch) override;
  Head& head() override { return *head_; }
  // Of the states, which are the decoder's.
  int64_t hidden_size() const override { return options_.character_size; }
  at::Tensor embed(const at::Tensor& ids) const override { return embedding_->forward(ids, stream()); }
  ModelWork work(int64_t rows, int64_t length, int64_t element_size) const override;
  Backends backends(int64_t rows, int64_t length, bool documents) const override;
  std::unique_ptr<Generation> generate(int64_t rows) override;

 private:
  friend class ByteWordGeneration;
  using Blocks = std::vector<std::shared_ptr<DecoderBlock>>;
  // What is the same in all blocks of a pass; the latter for fused ones.
  struct Pass {
    AttentionPattern pattern;
    RotaryAngles angles;
    at::Tensor stream_positions = {};
    std::vector<KeyValueCache>* caches = nullptr;
  };
  struct FusedPass {
    PackedAttentionShape pattern;
    const RotaryTable& rotary;
    at::Tensor positions;
  };
  // A stack of blocks and the norm behind it.
  struct Part {
    Blocks blocks;
    std::shared_ptr<Norm> norm;
  };

  StreamLayout stream() const { return {.axis = &mesh_.tensor()}; }  // whole on every rank
  WordLimits limits() const;
  Part make_part(const ModelContext& context, const std::string& name, const DecoderOptions& shape, int64_t first_layer);
  at::Tensor run(const Part& part, at::Tensor x, const Pass& pass) const;
  at::Tensor run(const Part& part, const at::Tensor& x, const FusedPass& pass) const;
  // Why blocks are not single nodes; empty where they are.
  std::string not_fused(bool training) const;
  PackedPattern word_pattern(int64_t rows) const;
  // positions as in rotary_angles, of characters and of words.
  RotaryAngles character_angles(const at::Tensor& positions) const;
  RotaryAngles word_angles(const at::Tensor& positions) const;
  // Between encoder and backbone and the other way, to the other's width.
  at::Tensor to_word(const at::Tensor& heads) const { return operations_.linear(heads, to_word_, {}); }
  at::Tensor to_bytes(const at::Tensor& words) const { return operations_.linear(words, to_bytes_, {}); }

  Options options_;
  Mesh& mesh_;
  const Operations& operations_;
  bool fused_;
  Recompute recompute_;
  bool deterministic_;
  int64_t max_length_, vocabulary_size_;
  Random random_;
  std::shared_ptr<VocabParallelEmbedding> embedding_;
  at::Tensor mark_;                // (character_size), what the encoder reads at heads
  at::Tensor start_;               // (hidden_size), what the backbone reads before the first word
  at::Tensor to_word_, to_bytes_;  // (hidden_size, character_size) and the other way
  Part encoder_, backbone_, decoder_;
  std::shared_ptr<Head> head_;
  RotaryTable character_rotary_, word_rotary_;  // of fused blocks, made at their first pass
};

}  // namespace lacuna
