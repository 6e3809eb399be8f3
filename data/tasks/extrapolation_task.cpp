#include "data/tasks/extrapolation_task.h"

#include <algorithm>

namespace lacuna {

Example ExtrapolationTask::make(Draw draw) const {
  const auto& all = sizes();
  const int64_t longest = all.empty() ? 0 : *std::max_element(all.begin(), all.end());
  const int64_t trained = all.size() > 1 ? longest / 2 : longest;
  const int64_t size = draw.split == Split::test ? draw.size : std::min(draw.size, trained);
  auto example = example_of(size, draw.random);
  example.slices.emplace_back("beyond", size > trained ? "yes" : "no");
  return example;
}

}  // namespace lacuna
