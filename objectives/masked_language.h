// Masked language modelling (BERT; Devlin et al. 2019, section 3.1 and its released code): of a row's tokens n = max(1,
// round(ratio
// * T)) are chosen; of these 80 % are replaced by the mask token, 10 % stay, 10 % become a random token of the vocabulary. The
// loss is that of the chosen positions, each predicting its own token, and their number is the same in every row, so that only
// their states go to the head. End tokens are never chosen. Both sides are seen, so T slots hold T tokens and nothing is shifted.
// Next-sentence prediction is left out (Liu et al. 2019).
#pragma once
#include "trainer/objective.h"

namespace lacuna {

struct MaskedLanguageOptions {
  double mask_ratio = 0.15;
  bool whole_words = false;
  double mask_share = 0.8;
  double random_share = 0.1;
};
template <class Visitor>
void describe(Visitor& visit, MaskedLanguageOptions& o) {
  visit("mask_ratio", o.mask_ratio, "share of a row's tokens that are predicted", between(0, 1));
  visit("whole_words", o.whole_words, "choose the pieces of a word together; a word that does not fit any more is left out");
  visit("mask_share", o.mask_share, "of the chosen tokens, those that become the mask token", between(0, 1));
  visit("random_share", o.random_share, "of the chosen tokens, those that become a random token; the others stay", between(0, 1));
}

class MaskedLanguage : public Objective {
 public:
  using Options = MaskedLanguageOptions;
  static Needs needs(const Options&) { return {.visibility = {Visibility::full}, .num_special_tokens = 1}; }

  MaskedLanguage(const Options& options, const RowContext& context);
  Needs needs() const override { return needs(options_); }
  SpecialTokens special_tokens() const override { return {.end = context_.end_token, .mask = mask()}; }
  int64_t sample_length() const override { return context_.length; }
  Batch prepare(std::span<const Sample> samples, const Random& random) const override;
  Loss loss(Architecture& architecture, const Batch& batch) override;

 private:
  int32_t mask() const { return static_cast<int32_t>(context_.tokenizer_size); }
  // At most `most` positions of a row, ascending.
  std::vector<int32_t> chosen(std::span<const int32_t> row, int64_t most, const Random& random) const;

  Options options_;
  RowContext context_;
};

}  // namespace lacuna
