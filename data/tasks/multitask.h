// The families of families.h as one task: training draws from all that are not held out, a test from all. Size: words of an
// input. Slices "family", "template" (0 reads like text that goes on) and "kind" (seen or held_out).
#pragma once
#include "data/tasks/task.h"

namespace lacuna {

class MultitaskTask : public Task {
 public:
  explicit MultitaskTask(TaskContext context) : Task("multitask", Disjoint::by_example, std::move(context)) {}

 protected:
  Example make(Draw draw) const override;
  std::vector<int64_t> own_sizes() const override { return {4, 6}; }
  uint64_t num_turns() const override;
};

}  // namespace lacuna
