// ListOps (Nangia and Bowman 2018) as the generator of Long Range Arena has it (Tay et al. 2020): nested minima, maxima, medians
// and sums modulo 10; a node is a digit with probability 0.75, else an operation on 2 to 10 nodes, at most 10 deep; a median is
// cut to an integer.
//   [max 2 9 [min 4 7 ] 0 ] = 9
// Size: the longest expression, in words; the shortest has half as many. Slice "depth".
#pragma once
#include "data/tasks/task.h"

namespace lacuna {

class ListopsTask : public Task {
 public:
  explicit ListopsTask(TaskContext context) : Task("listops", Disjoint::by_example, std::move(context)) {}

 protected:
  Example make(Draw draw) const override;
  std::vector<int64_t> own_sizes() const override { return {16, 32, 64, 128, 256}; }
};

}  // namespace lacuna
