// Span corruption (T5; Raffel et al. 2020, section 3.1.4, after its released code): spans of a stretch of text are each replaced
// by a sentinel, and the targets list the spans, each after its sentinel, and an end token. Every row masks the same number of
// tokens in the same number of spans; the first token of a stretch is never masked and its last one always is. Stretches run
// across documents.
//
// With an encoder: it reads the inputs (S = batch.sequence_length slots, or as many as the planner fills), the decoder predicts
// the targets. On a decoder the row is inputs followed by targets and the loss is that of the targets alone (Wang et al. 2022,
// section 3); under visibility = "prefix" the inputs see one another. The decoder starts from the pad token.
#pragma once
#include "objectives/corruption.h"
#include "trainer/objective.h"

namespace lacuna {

struct SpanCorruptionOptions {
  double noise_density = 0.15;
  double mean_span = 3.0;
  int64_t num_sentinels = 100;
};
template <class Visitor>
void describe(Visitor& visit, SpanCorruptionOptions& o) {
  visit("noise_density", o.noise_density, "share of the tokens that are masked",
        Range{.low = 0, .high = 1, .open_low = true, .open_high = true});
  visit("mean_span", o.mean_span, "mean length of a masked span", at_least(1));
  visit("num_sentinels", o.num_sentinels, "tokens that stand for spans; a row may not have more of these", between(1, 10000));
}

class SpanCorruption : public Objective {
 public:
  using Options = SpanCorruptionOptions;
  static Needs needs(const Options& o) {
    return {.visibility = {Visibility::causal, Visibility::prefix},
            .encoder = EncoderUse::either,
            .num_special_tokens = o.num_sentinels + 1};
  }

  // Throws usage errors where no stretch fits into a row, or one has more spans than there are sentinels.
  SpanCorruption(const Options& options, const RowContext& context);
  Needs needs() const override { return needs(options_); }
  SpecialTokens special_tokens() const override { return {.pad = pad(), .end = context_.end_token, .sentinels = sentinels_}; }
  int64_t sample_length() const override { return plan_.raw; }
  Batch prepare(std::span<const Sample> samples, const Random& random) const override;
  Loss loss(Architecture& architecture, const Batch& batch) override;
  void build(const ModelContext& context, const Architecture& architecture) override;
  // Negative: the decoder of two sides is shorter than the encoder, and the head of one side reads the targets alone.
  double flops_per_token(const Architecture& architecture, int64_t length) const override;

 private:
  int32_t pad() const { return static_cast<int32_t>(context_.tokenizer_size); }

  Options options_;
  RowContext context_;
  SpanPlan plan_;
  std::vector<int32_t> sentinels_;  // the k-th span's, from the top of the vocabulary downwards
};

}  // namespace lacuna
