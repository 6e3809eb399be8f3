// A task whose tests go beyond the sizes of training: those have half of the largest at most, or all where there is one size
// alone. Slice "beyond" tells which an example is.
#pragma once
#include "data/tasks/task.h"

namespace lacuna {

class ExtrapolationTask : public Task {
 public:
  ExtrapolationTask(std::string_view name, std::vector<int64_t> sizes, TaskContext context)
      : Task(name, Disjoint::by_example, std::move(context)), own_sizes_(std::move(sizes)) {}

 protected:
  virtual Example example_of(int64_t size, Random& random) const = 0;

 private:
  Example make(Draw draw) const final;
  std::vector<int64_t> own_sizes() const final { return own_sizes_; }

  std::vector<int64_t> own_sizes_;
};

}  // namespace lacuna
