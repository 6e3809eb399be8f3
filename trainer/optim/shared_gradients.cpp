#include "trainer/optim/shared_gradients.h"

#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/cat.h>

#include <algorithm>

namespace lacuna {

SharedGradients::SharedGradients(const FlatStorage& storage, Communicator& tensor_axis) : axis_(tensor_axis) {
  for (const auto& owned : storage.owned()) {
    for (const auto& range : storage.ranges()) {
      const int64_t begin = std::max(owned.begin, range.offset), end = std::min(owned.end, range.offset + range.count);
      if (range.partitioned || begin >= end || range.whole_gradient) continue;
      views_.push_back(storage.gradients().narrow(0, begin, end - begin));
      counts_.push_back(end - begin);
    }
  }
}

void SharedGradients::sum() {
  if (views_.empty()) return;  // on every rank of the axis: its ranks own the same ranges
  auto packed = at::cat(views_);
  axis_.all_reduce(packed, Reduce::sum);
  at::_foreach_copy_(views_, packed.split_with_sizes(counts_));
}

}  // namespace lacuna
