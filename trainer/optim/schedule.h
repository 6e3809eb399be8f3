// The learning rate's course as a factor of the optimizer's base rate. Every kind climbs linearly over `warmup_steps`; step
// `warmup_steps` is the first at full height.
#pragma once
#include "trainer/config/describe.h"
#include "trainer/config/section.h"

namespace lacuna {

enum class ScheduleKind { constant, linear, cosine, inverse_sqrt, warmup_stable_decay };
constexpr std::array<std::string_view, 5> names_of(ScheduleKind) {
  return {"constant", "linear", "cosine", "inverse_sqrt", "warmup_stable_decay"};
}

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::cosine;
  int64_t warmup_steps = 0;
  double final_ratio = 0.1;
  double decay_share = 0.2;
};
template <class Visitor>
void describe(Visitor& visit, ScheduleOptions& o) {
  visit("kind", o.kind, "the curve after the warm-up");
  visit("warmup_steps", o.warmup_steps, "steps of linear climb", at_least(0));
  visit("final_ratio", o.final_ratio, "of the base rate at the last step; for linear, cosine and warmup_stable_decay", between(0, 1));
  visit("decay_share", o.decay_share, "of all steps spent falling, at the end; for warmup_stable_decay", between(0, 1));
}

class Schedule {
 public:
  Schedule(const ScheduleOptions& options, int64_t total_steps) : options_(options), total_(total_steps) {}
  // Of update number `step`, from 1. constant: 1. linear and cosine: from 1 after the warm-up to final_ratio at the last step.
  // inverse_sqrt: sqrt(warmup / step) (Vaswani et al. 2017). warmup_stable_decay: 1, then linear to final_ratio (Hu et al. 2024).
  double factor(int64_t step) const;

 private:
  ScheduleOptions options_;
  int64_t total_;
};

}  // namespace lacuna
