#include "trainer/batch_slot.h"

#include <ATen/ops/empty_like.h>

namespace lacuna {
namespace {

// Of fields that share a tensor, the first.
template <class Fields>
size_t first_same(const Fields& fields, size_t i) {
  size_t first = 0;
  while (!fields[first]->is_same(*fields[i])) ++first;
  return first;
}

}  // namespace

bool BatchSlot::load(const Batch& batch, at::Device device) {
  if (device.is_cpu()) {
    batch_ = batch;
    return true;
  }
  batch_.target_count = batch.target_count;
  bool same = true;
  const auto from = batch.tensors();
  const auto to = batch_.tensors();
  for (size_t i = 0; i < from.size(); ++i) {
    if (!from[i]->defined()) {
      same = same && !to[i]->defined();
      to[i]->reset();
    } else if (const size_t first = first_same(from, i); first < i) {
      same = same && to[i]->is_same(*to[first]);
      *to[i] = *to[first];
    } else {
      if (!to[i]->defined() || to[i]->sizes() != from[i]->sizes()) {
        same = false;
        *to[i] = at::empty_like(*from[i], from[i]->options().device(device));
      }
      to[i]->copy_(*from[i], /*non_blocking=*/true);
    }
  }
  return same;
}

}  // namespace lacuna
