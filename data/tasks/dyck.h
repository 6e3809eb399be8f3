// Balanced brackets of four kinds (Dyck-4): what closes the innermost one that is open?
//   ( [ { } ] <  >
// Size: brackets of the context. Slice "depth": how many brackets are open.
#pragma once
#include "data/tasks/extrapolation_task.h"

namespace lacuna {

class DyckTask : public ExtrapolationTask {
 public:
  explicit DyckTask(TaskContext context) : ExtrapolationTask("dyck", {8, 16, 32, 64}, std::move(context)) {}

 protected:
  Example example_of(int64_t size, Random& random) const override;
};

}  // namespace lacuna
