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
#pragma once
#include "trainer/objective.h"

namespace lacuna {

struct PrefixLanguageOptions {};
template <class Visitor>
void describe(Visitor&, PrefixLanguageOptions&) {}

class PrefixLanguage : public Objective {
 public:
  using Options = PrefixLanguageOptions;
  static Needs needs(const Options&) { return {.visibility = {Visibility::prefix}, .encoder = EncoderUse::either}; }

  PrefixLanguage(const Options& options, const RowContext& context) : options_(options), context_(context) {}
  Needs needs() const override { return needs(options_); }
  SpecialTokens special_tokens() const override { return {.end = context_.end_token}; }
  int64_t sample_length() const override { return context_.encoder ? 2 * context_.length + 2 : context_.length + 1; }
  int64_t sample_stride() const override { return context_.encoder ? 2 * context_.length : context_.length; }
  Batch prepare(std::span<const Sample> samples, const Random& random) const override;
  Loss loss(Architecture& architecture, const Batch& batch) override;

 private:
  Batch prepare_decoder(std::span<const Sample> samples, const Random& random) const;
  Batch prepare_pairs(std::span<const Sample> samples, const Random& random) const;

  Options options_;
  RowContext context_;
};

}  // namespace lacuna
