// Prefix language modelling (Raffel et al. 2020, section 3.2.3; Wang et al. 2022, "What language model architecture and
// pretraining objective work best"): a row is cut at a random place, its first part is seen whole, and the rest is predicted.
//
// On a decoder: slots hold r_0..r_{T-1} and predict r_1..r_T. The split s is drawn from {0..T-2}: slots up to s see one another
// (`bidirectional`), and slots from s on carry the loss, since slot s holds the prefix's last token and predicts the first that
// is not in it. Those are the rows of next_token, so a causal decoder's weights go on under this objective with nothing but
// another mask. (The papers' rows are shifted by a begin token instead; the pairs of visible context and target are the same.)
//
// With an encoder: rows are taken in pairs a, b under one split i, so that lengths are fixed: the encoder reads a[:i] b[:T-i],
// the decoder predicts a[i:] b[T-i:], and segments keep a and b apart, in the encoder, the decoder and between them.
//
// With split = "response" the cut is where the corpus says that a response begins: rows hold several prompts with their
// responses, kept apart as segments, each prompt seen whole, and the loss is on the responses. On a decoder that is one row; with
// an encoder the prompts go there and the decoder predicts the responses, starting each from its prompt's last token. Validation
// rows that do not tell are cut at a random place. (Multitask fine-tuning; Wang et al. 2022, section 3.3.)
//
// source_loss has a causal encoder predict its own text too (source_loss.h). teacher distils a decoder into the network
// (teacher.h).
#pragma once
#include "objectives/teacher.h"
#include "trainer/objective.h"

namespace lacuna {

enum class PrefixSplit { random, response };
constexpr std::array<std::string_view, 2> names_of(PrefixSplit) { return {"random", "response"}; }

struct PrefixLanguageOptions {
  PrefixSplit split = PrefixSplit::random;
  double source_loss = 0;
  std::string teacher = {};
  double teacher_share = 0.9;
};
template <class Visitor>
void describe(Visitor& visit, PrefixLanguageOptions& o) {
  visit("split", o.split,
        "at a random place, or where responses begin, which training corpora must then tell (prepare --prompts, tasks)");
  visit("source_loss", o.source_loss,
        "with a causal encoder: what predicting a source token weighs in the gradient beside a target; the loss that is told "
        "leaves "
        "it out",
        at_least(0));
  visit("teacher", o.teacher,
        "a run or checkpoint of a causal decoder, whose predictions are learnt beside the text's; empty = none");
  visit("teacher_share", o.teacher_share,
        "of the loss, what is divergence from the teacher; the rest is the text's cross-entropy", between(0, 1));
}

class PrefixLanguage : public Objective {
 public:
  using Options = PrefixLanguageOptions;
  static Needs needs(const Options& o) {
    return {.visibility = {Visibility::prefix}, .encoder = EncoderUse::either, .responses = o.split == PrefixSplit::response};
  }

  PrefixLanguage(const Options& options, const RowContext& context);
  Needs needs() const override { return needs(options_); }
  SpecialTokens special_tokens() const override { return {.end = context_.end_token}; }
  int64_t sample_length() const override { return pairs() ? 2 * context_.length + 2 : context_.length + 1; }
  int64_t sample_stride() const override { return pairs() ? 2 * context_.length : context_.length; }
  Batch prepare(std::span<const Sample> samples, const Random& random) const override;
  Batch prepare_clean(std::span<const Sample> samples, const Random& random) const override;
  Loss loss(Architecture& architecture, const Batch& batch) override;
  void build(const ModelContext& context, const Architecture& architecture) override;
  double flops_per_token(const Architecture& architecture, int64_t length) const override;

 private:
  bool pairs() const { return context_.encoder && options_.split == PrefixSplit::random; }
  Batch prepare_responses(std::span<const Sample> samples) const;
  Batch prepare_encoded_responses(std::span<const Sample> samples) const;
  Batch prepare_decoder(std::span<const Sample> samples, const Random& random) const;
  Batch prepare_pairs(std::span<const Sample> samples, const Random& random) const;

  Options options_;
  RowContext context_;
  std::unique_ptr<Teacher> teacher_;  // null: none
};

}  // namespace lacuna
