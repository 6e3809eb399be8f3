// A stack of pre-norm transformer blocks over tokens: GPT-2 and Llama shapes are both settings of it, and so is a
// bidirectional encoder. GPT-2: Radford et al. 2019; initial values after its released code (residual outputs scaled by
// 1/sqrt(2 num_layers)). Dropout falls on the embedding and on what each half adds to the residual stream, not on attention
// probabilities, so that its masks do not depend on the layout.
//
// With visibility = "prefix" the visible prefix may be told apart as the source of what follows: by attention of its own
// (partial_attention.h), by a learned vector of either kind that is added to the embedding, and by targets that count their
// positions from 0 again (PALM; Fu et al. 2023).
#pragma once
#include "trainer/config/section.h"
#include "trainer/model/decoder_block.h"
#include "trainer/model/embedding.h"
#include "trainer/model/packed_pattern.h"
#include "trainer/model/relative_bias.h"
#include "trainer/model/source_attention.h"

namespace lacuna {

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
