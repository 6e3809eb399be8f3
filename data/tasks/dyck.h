// Balanced brackets of four kinds (Dyck-4): what closes the innermost one that is open?
//   ( [ { } ] <  >
// Size: brackets of the context. Training has those up to half of the largest, or all where there is one
// alone; slice "beyond" tells which a test's is.
// Slice "depth": how many brackets are open.
#pragma once
#include "data/tasks/task.h"

namespace lacuna {

class DyckTask : public Task {
 public:
  explicit DyckTask(TaskContext context) : Task("dyck", Disjoint::by_example, std::move(context)) {}

 protected:
  Example make(Draw draw) const override;
  std::vector<int64_t> own_sizes() const override { return {8, 16, 32, 64}; }
};

}  // namespace lacuna
