// Copying, in tokens. Slice "kind": "repeat" has a random first half and then the same again, and asks for the second half from
// its second token on (the first tells where it begins); "select" has data tokens among one noise token, then a mark, and asks
// for the data tokens in order (selective copying; Gu and Dao 2023, section 3.1). Size: tokens of the row; by default T/8, T/4,
// T/2 and T. With --set batch.sequence_length = 2 T a network whose positions allow it is asked beyond its training.
#pragma once
#include "data/tasks/task.h"

namespace lacuna {

class InductionTask : public Task {
 public:
  explicit InductionTask(TaskContext context);

 protected:
  Example make(Draw draw) const override;
  std::vector<int64_t> own_sizes() const override;

 private:
  TokenRow repeated(int64_t length, Random& random) const;
  TokenRow selected(int64_t length, Random& random) const;
  std::vector<int32_t> alphabet_;
};

}  // namespace lacuna
