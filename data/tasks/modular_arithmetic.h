// Sums modulo 7, from left to right:
//   3 + 5 - 2 mod 7 = 6
// Size: terms. Training has those up to half of the largest, or all where there is one
// alone; slice "beyond" tells which a test's is.
#pragma once
#include "data/tasks/task.h"

namespace lacuna {

class ModularArithmeticTask : public Task {
 public:
  explicit ModularArithmeticTask(TaskContext context) : Task("modular_arithmetic", Disjoint::by_example, std::move(context)) {}

 protected:
  Example make(Draw draw) const override;
  std::vector<int64_t> own_sizes() const override { return {2, 4, 8, 16}; }
};

}  // namespace lacuna
