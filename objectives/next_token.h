// Next-token prediction: L = -sum_t w_t log p(r_{t+1} | r_0..r_t) (Radford et al. 2019). A row of T + 1 stored tokens r gives
// tokens = r[0:T] and targets = r[1:T+1]; rows share the one token at their seam, so that every token is predicted once an epoch.
// There is no begin token; documents end with the end token and follow one another.
#pragma once
#include "trainer/objective.h"

namespace lacuna {

struct NextTokenOptions {};
template <class Visitor>
void describe(Visitor&, NextTokenOptions&) {}

class NextToken : public Objective {
 public:
  using Options = NextTokenOptions;
  static Needs needs(const Options&) { return {.modality = "text", .visibility = {Visibility::causal}}; }

  NextToken(const Options& options, const RowContext& context);
  Needs needs() const override { return needs(options_); }
  SpecialTokens special_tokens() const override { return {.pad = -1, .end = context_.end_token, .mask = -1, .sentinels = {}}; }
  int64_t sample_length() const override { return context_.length + 1; }
  int64_t sample_stride() const override { return context_.length; }
  Batch prepare(std::span<const Sample> samples, const Random& random) const override;
  Loss loss(Architecture& architecture, const Batch& batch) override;

  // The rows themselves, from which other objectives start: every slot has weight 1.
  static Batch rows(std::span<const Sample> samples, const RowContext& context);

 private:
  Options options_;
  RowContext context_;
};

}  // namespace lacuna
