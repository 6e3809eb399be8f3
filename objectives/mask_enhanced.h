// Mask-enhanced autoregressive prediction (MEAP; Zhuang et al. 2025, section 3): next-token prediction from inputs of which a
// fixed count is replaced by one mask token. Targets, weights, the causal mask and the loss stay those of next_token, over all
// positions; the last input position is never masked. Evaluation sees clean rows: compare with next_token by that loss, since the
// training loss is higher by design.
//
// The released trainer masks the same columns in every row and draws from only 51 patterns in a whole run; `pattern =
// "shared_51"` repeats that structure. The default draws each row's columns for itself.
//
// fine_tuning = true: rows of prompts and responses, each twice (the released code's form). The first has its loss on the
// response and its end token. In the second, of each response of more than 50 tokens, floor(mask_ratio * its tokens), at least
// one, are masked, and the loss is on these alone: each is predicted from what precedes it, other masks included. A step has
// twice the rows; all targets share one mean. Masks are drawn anew each time, where the released code draws them once.
#pragma once
#include "objectives/next_token.h"

namespace lacuna {

enum class MaskPattern { per_row, shared_51 };
constexpr std::array<std::string_view, 2> names_of(MaskPattern) { return {"per_row", "shared_51"}; }

struct MaskEnhancedOptions {
  double mask_ratio = 0.15;
  MaskPattern pattern = MaskPattern::per_row;
  bool fine_tuning = false;
};
template <class Visitor>
void describe(Visitor& visit, MaskEnhancedOptions& o) {
  visit("mask_ratio", o.mask_ratio, "share of a row's input tokens that are masked, rounded down", from_below(0, 1));
  visit("pattern", o.pattern, "per_row draws each row's columns; shared_51 uses 51 sets of columns, one for all rows of a step");
  visit("fine_tuning", o.fine_tuning,
        "rows of prompts and responses, and a copy of each with mask_ratio of long responses masked (0.1 in the paper)");
}

class MaskEnhanced : public Objective {
 public:
  using Options = MaskEnhancedOptions;
  static Needs needs(const Options& o) {
    return {.visibility = {Visibility::causal}, .num_special_tokens = 1, .responses = o.fine_tuning};
  }

  MaskEnhanced(const Options& options, const RowContext& context);
  Needs needs() const override { return needs(options_); }
  SpecialTokens special_tokens() const override { return {.end = context_.end_token, .mask = mask()}; }
  int64_t sample_length() const override { return context_.length + 1; }
  int64_t sample_stride() const override { return context_.length; }
  Batch prepare(std::span<const Sample> samples, const Random& random) const override;
  Batch prepare_clean(std::span<const Sample> samples, const Random& random) const override;
  Loss loss(Architecture& architecture, const Batch& batch) override;

 private:
  Batch prepare_responses(std::span<const Sample> samples, const Random& random) const;
  int32_t mask() const { return static_cast<int32_t>(context_.tokenizer_size); }

  Options options_;
  RowContext context_;
};

}  // namespace lacuna
