// A needle in a haystack: a sentence in a stretch of other text, and at the end its beginning once more.
//   ... the special magic <city> number is: <7 digits>. ...
//   the special magic <city> number is: <7 digits>
// The haystack is text from a corpus that does not name the city. The needle's place is floor(length * depth), moved back to
// where a sentence ends, for depths 0, 10, ... 100 % (slice "depth"). Size: tokens of the whole example; by default T/8, T/4, T/2
// and T. Choices: the digits and nine other numbers of seven digits.
#pragma once
#include "data/tasks/task.h"

namespace lacuna {

class NeedleTask : public Task {
 public:
  // Throws a usage error where there is no haystack.
  explicit NeedleTask(TaskContext context);

 protected:
  Example make(Draw draw) const override;
  std::vector<int64_t> own_sizes() const override;
};

}  // namespace lacuna
