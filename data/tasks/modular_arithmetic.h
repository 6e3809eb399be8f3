// Sums modulo 7, from left to right:
//   3 + 5 - 2 mod 7 = 6
// Size: terms.
#pragma once
#include "data/tasks/extrapolation_task.h"

namespace lacuna {

class ModularArithmeticTask : public ExtrapolationTask {
 public:
  explicit ModularArithmeticTask(TaskContext context)
      : ExtrapolationTask("modular_arithmetic", {2, 4, 8, 16}, std::move(context)) {}

 protected:
  Example example_of(int64_t size, Random& random) const override;
};

}  // namespace lacuna
