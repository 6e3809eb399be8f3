// Next-token prediction: L = -sum_t w_t log p(r_{t+1} | r_0..r_t) (Radford et al. 2019). A row of T + 1 stored tokens r gives
// tokens = r[0:T] and targets = r[1:T+1]; rows share the one token at their seam, so that every token is predicted once an epoch.
// There is no begin token; documents end with the end token and follow one another.
//
// With loss_on = "response" a slot has weight 1 where the token that it predicts is part of a response, its end token included,
// as corpora of prompts and tasks tell it: fine-tuning on instructions. Rows of validation corpora that do not tell weigh all
// slots. z_loss keeps logits from drifting (Chowdhery et al. 2022, section 5).
#pragma once
#include "trainer/objective.h"

namespace lacuna {

enum class LossOn { all, response };
constexpr std::array<std::string_view, 2> names_of(LossOn) { return {"all", "response"}; }

struct NextTokenOptions {
  LossOn loss_on = LossOn::all;
  double z_loss = 0;
};
template <class Visitor>
void describe(Visitor& visit, NextTokenOptions& o) {
  visit("loss_on", o.loss_on,
        "all tokens, or those of responses alone, which training corpora must then tell (prepare --prompts, tasks)");
  visit("z_loss", o.z_loss, "weight of logsumexp(logits)^2 in the gradient, such as 1e-4; the loss that is told leaves it out",
        at_least(0));
}

class NextToken : public Objective {
 public:
  using Options = NextTokenOptions;
  static Needs needs(const Options& o) {
    return {.visibility = {Visibility::causal}, .responses = o.loss_on == LossOn::response};
  }

  NextToken(const Options& options, const RowContext& context);
  Needs needs() const override { return needs(options_); }
  SpecialTokens special_tokens() const override { return {.pad = -1, .end = context_.end_token, .mask = -1, .sentinels = {}}; }
  int64_t sample_length() const override { return context_.length + 1; }
  int64_t sample_stride() const override { return context_.length; }
  Batch prepare(std::span<const Sample> samples, const Random& random) const override;
  Batch prepare_clean(std::span<const Sample> samples, const Random& random) const override;
  Loss loss(Architecture& architecture, const Batch& batch) override;

  // The rows themselves, from which other objectives start: every slot has weight 1.
  static Batch rows(std::span<const Sample> samples, const RowContext& context);
  // The head's loss at every slot, by its weight.
  static Loss loss_of_rows(Architecture& architecture, const Batch& batch, double z_loss = 0);
  // Takes the weight of slots whose target is no response, in the rows of samples that tell.
  static void weigh_responses(Batch& batch, std::span<const Sample> samples);
  // Throws a data error where a sample does not tell which of its tokens are responses.
  static void need_responses(std::span<const Sample> samples);

 private:
  Options options_;
  RowContext context_;
};

}  // namespace lacuna
