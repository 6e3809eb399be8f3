// Retrieval from a dictionary (Liu et al. 2024, "Lost in the middle", section 3; theirs has UUIDs). The exact format:
//   {k1: v1, k2: v2, ...}
//   key: kq
//   value: vq
// Keys and values are hexadecimal words of four letters, different from one another within an example. Size: pairs. The pair that
// is asked for is swept over five places, slice "gold": 0 = the first pair, 1 = the last. Choices: ten of the
// values, or all where there are fewer.
#pragma once
#include "data/tasks/task.h"

namespace lacuna {

class KeyValueTask : public Task {
 public:
  explicit KeyValueTask(TaskContext context) : Task("key_value", Disjoint::by_words, std::move(context)) {}

 protected:
  Example make(Draw draw) const override;
  std::vector<int64_t> own_sizes() const override { return {4, 8, 16, 32, 64}; }
};

// Which of `count` things is asked for, and what its place is called: 0, 0.25, ... 1 of the way, swept by `turn`.
struct SweptPlace {
  int64_t index;
  std::string name;
};
SweptPlace swept_place(int64_t count, uint64_t turn);

}  // namespace lacuna
