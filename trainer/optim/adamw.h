// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019). Decay falls on tensors of two or more dimensions; a
// parameter's UpdateRule scales its learning rate and holds it above a least value.
#pragma once
#include "trainer/config/describe.h"
#include "trainer/kernels/adamw.h"
#include "trainer/model/flat_storage.h"
#include "trainer/optim/optimizer.h"

namespace lacuna {

struct AdamWOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  double clip_norm = 1.0;
};
template <class Visitor>
void describe(Visitor& visit, AdamWOptions& o) {
  visit("learning_rate", o.learning_rate, "at the schedule's height", at_least(0));
  visit("beta1", o.beta1, "decay of the mean of gradients", from_below(0, 1));
  visit("beta2", o.beta2, "decay of the mean of squared gradients", from_below(0, 1));
  visit("epsilon", o.epsilon, "added to the root of the second moment", above(0));
  visit("weight_decay", o.weight_decay, "on tensors of two or more dimensions", at_least(0));
  visit("clip_norm", o.clip_norm, "largest norm of the whole gradient; 0 = no clipping", at_least(0));
}

class AdamW : public Optimizer {
 public:
  using Options = AdamWOptions;
  AdamW(const Options& options, FlatStorage& storage);
  void begin(int64_t step, double learning_rate) override;
  void update(const at::Tensor& scale) override;
  double learning_rate() const override { return options_.learning_rate; }
  double clip_norm() const override { return options_.clip_norm; }
  std::vector<std::pair<std::string, at::Tensor>> state() const override;

 private:
  // What one call updates: neighbouring parameters of one rule. On the CPU they also decay alike; on a device decays_ tells which
  // of them do.
  struct Segment {
    FlatStorage::Shard range;
    bool decays;
    UpdateRule rule;
  };
  std::vector<Segment> split(bool by_decay) const;

  Options options_;
  FlatStorage& storage_;
  std::vector<Segment> segments_;
  at::Tensor first_, second_, decays_;
  at::Tensor scalars_;  // as kernels/adamw.h says
};

}  // namespace lacuna
