// Energy-based transformers on text (EBT; Gladstone et al. 2025, section 3 and the released code; EBWM, Gladstone et al. 2024).
// A network gives each pair of a context and a candidate for what follows an energy, low where they go together; predicting is
// descending on the candidate from noise, and training is cross-entropy of what the descent arrives at, differentiated through
// the descent. Of a row x, with W the table that stands beside the embedding and y_0 ~ N(0, 1) of shape (T, V), for i = 0..M-1:
//   1. y <- y_i, cut from its graph where `detach`; y <- y + langevin * N(0, 1)
//   2. p = softmax(y), or y itself without `normalise`       3. e = p W
//   4. E = w . candidate_state([tau_i; x; e])                5. g = d sum(E) / d p = (d sum(E) / d e) W^T
//   6. y_{i+1} = p - alpha g, read as logits                 loss_i = -sum_t weight_t log softmax(y_{i+1})[x_{t+1}]
// The loss is the mean of loss_i over the steps where `detach`, else the last one. tau_i is the vector that stands before the row,
// the last of `landscapes` for all further steps. Evaluation takes the last step of `steps`, from noise that a row's number fixes.
//
// The paper's regimes: S1 is steps = 2, landscapes = 2, detach, alpha = 500 learnable at 1500 times the learning rate. S2
// ("thinking") is detach = false, landscapes = 1, steps = 3 with steps_min = 2, alpha = 5 fixed with alpha_spread = 2, langevin = 3,
// replay_rows = 192. The default is S1 with an alpha for narrow networks on bytes.
// Deviations, so that ranks, micro-batches and resuming change nothing: every draw is a function of (seed, row, step); the number of
// steps is a row's own and not a batch's; replays are of the same place in an earlier step (replay.h).
#pragma once
#include "objectives/replay.h"
#include "trainer/objective.h"

namespace lacuna {

struct EnergyOptions {
  int64_t steps = 2;
  int64_t steps_min = 0;
  int64_t landscapes = 2;
  double alpha = 500;
  bool alpha_learnable = true;
  double alpha_rate = 1500;
  double alpha_spread = 1;
  bool detach = true;
  bool truncate = true;
  bool normalise = true;
  double langevin = 0;
  int64_t replay_rows = 0;
  double replay_share = 0.5;
};
template <class Visitor>
void describe(Visitor& visit, EnergyOptions& o) {
  visit("steps", o.steps, "of the descent", between(1, 1000));
  visit("steps_min", o.steps_min, "each row of training takes from so many to `steps`; 0 = always `steps`", at_least(0));
  visit("landscapes", o.landscapes, "vectors before the row, of the first steps each; at most the least number of steps",
        between(1, 1000));
  visit("alpha", o.alpha, "size of a step, at the start where it is learnt", above(0));
  visit("alpha_learnable", o.alpha_learnable, "whether alpha is a parameter, kept above 1e-4");
  visit("alpha_rate", o.alpha_rate, "times the learning rate, of alpha", above(0));
  visit("alpha_spread", o.alpha_spread, "in training a position's alpha is uniform in [alpha / this, alpha x this]", at_least(1));
  visit("detach", o.detach, "no gradient passes from a step to the one before, and every step has a loss");
  visit("truncate", o.truncate, "without detach: second derivatives are those of a row's last step alone");
  visit("normalise", o.normalise, "a step starts from probabilities");
  visit("langevin", o.langevin, "deviation of the noise that is added before each step, in evaluation too", at_least(0));
  visit("replay_rows", o.replay_rows, "earlier rows that are kept, to go on from where their descent ended; 0 = none",
        at_least(0));
  visit("replay_share", o.replay_share, "of a step's rows that come with such a one", Range{.low = 0, .high = 1, .open_low = true});
}

class Energy : public Objective {
 public:
  using Options = EnergyOptions;
  static Needs needs(const Options&) { return {.visibility = {Visibility::causal}, .candidates = true}; }

  // Throws usage errors for options that do not go together.
  Energy(const Options& options, const RowContext& context);
  Needs needs() const override { return needs(options_); }
  SpecialTokens special_tokens() const override { return {.end = context_.end_token}; }
  int64_t sample_length() const override { return context_.length + 1; }
  int64_t sample_stride() const override { return context_.length; }
  Batch prepare(std::span<const Sample> samples, const Random& random) const override;
  Batch prepare_clean(std::span<const Sample> samples, const Random& random) const override;
  // Metrics: energy_gap (of the first and the last candidate that a step starts from), cross_entropy_first and _last (after the
  // first and the last step), slope (Euclidean norm of g), alpha.
  Loss loss(Architecture& architecture, const Batch& batch) override;
  void build(const ModelContext& context, const Architecture& architecture) override;
  double flops_per_token(const Architecture& architecture, int64_t length) const override;
  ModelWork work(const Architecture& architecture, int64_t samples, int64_t length, int64_t element_size) const override;
  std::vector<std::pair<std::string, at::Tensor>> state() override;

  bool thinks() const override { return true; }
  // Of `samples` descents from different noise, at each position that whose end has the least energy.
  at::Tensor logits(Architecture& architecture, const Batch& batch, const Effort& effort) override;
  std::unique_ptr<Generation> generate(Architecture& architecture, int64_t rows) override;

  // The same of the last n positions alone, (B, n, V).
  at::Tensor search(Architecture& architecture, const Batch& batch, const Effort& effort, int64_t n) const;

 private:
  at::Tensor alpha() const;  // (1)
  int64_t least_steps() const { return options_.steps_min > 0 ? options_.steps_min : options_.steps; }

  Options options_;
  RowContext context_;
  std::optional<Replay> replay_;
  Random random_;  // of the noise
  int64_t vocabulary_size_ = 0;
  at::Tensor energy_head_;  // (1, D)
  at::Tensor landscapes_;   // (landscapes, D)
  at::Tensor alpha_;        // (1), where learnable
};

}  // namespace lacuna
