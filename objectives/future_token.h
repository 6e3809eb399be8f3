// Prediction of the next N tokens from every position: L = sum_{t,k} w_t,k -log p(x_{t+k} | ...) with w_t,k = decay^(k-1), 0
// where t + k leaves the row (or, under data.document_mask, the document). `network` says from what: future_network.h has the
// papers. The next token's own loss, which compares with next_token's, is reported as loss_1, the farthest offset's as loss_N.
// Generation writes from the trunk's head, so it fits the networks whose offset 1 is the trunk (chained, medusa, hydra).
#pragma once
#include "objectives/future_network.h"
#include "trainer/objective.h"

namespace lacuna {

struct FutureTokenOptions {
  int64_t horizon = 8;
  double decay = 0.8;
  FutureKind network = FutureKind::decoder;
  int64_t num_layers = 3;
  int64_t pseudo_length = 12;
  int64_t num_heads = 4;
  int64_t position_stride = 1;
};
template <class Visitor>
void describe(Visitor& visit, FutureTokenOptions& o) {
  visit("horizon", o.horizon, "tokens that every position predicts", between(1, 64));
  visit("decay", o.decay, "each offset weighs this times the one before", Range{.low = 0, .high = 1, .open_low = true});
  visit("network", o.network, "decoder is FTP's; heads, chained, medusa and hydra are its neighbours");
  visit("num_layers", o.num_layers, "blocks of the small decoder", between(1, 100));
  visit("pseudo_length", o.pseudo_length, "rows that a state is spread to, for the small decoder", between(1, 256));
  visit("num_heads", o.num_heads, "attention heads of the blocks of the objective's own network", between(1, 1 << 12));
  visit("position_stride", o.position_stride, "every how many positions predict; those between have no loss", between(1, 1024));
}

class FutureToken : public Objective {
 public:
  using Options = FutureTokenOptions;
  static Needs needs(const Options&) { return {.visibility = {Visibility::causal}}; }

  FutureToken(const Options& options, const RowContext& context) : options_(options), context_(context) {}
  Needs needs() const override { return needs(options_); }
  SpecialTokens special_tokens() const override { return {.end = context_.end_token}; }
  int64_t sample_length() const override { return context_.length + 1; }
  int64_t sample_stride() const override { return context_.length; }
  Batch prepare(std::span<const Sample> samples, const Random& random) const override;
  Loss loss(Architecture& architecture, const Batch& batch) override;
  void build(const ModelContext& context, const Architecture& architecture) override;
  double flops_per_token(const Architecture& architecture, int64_t length) const override;

 private:
  Options options_;
  RowContext context_;
  std::shared_ptr<FutureNetwork> network_;
};

}  // namespace lacuna
