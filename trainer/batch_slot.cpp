#include "trainer/batch_slot.h"

#include <ATen/ops/empty_like.h>

namespace lacuna {

void BatchSlot::load(const Batch& batch, at::Device device) {
  if (device.is_cpu()) {
    batch_ = batch;
    return;
  }
  batch_.target_count = batch.target_count;
  const auto from = batch.tensors();
  const auto to = batch_.tensors();
  for (size_t i = 0; i < from.size(); ++i) {
    if (!from[i]->defined()) {
      to[i]->reset();
    } else {
      if (!to[i]->defined() || to[i]->sizes() != from[i]->sizes()) *to[i] = at::empty_like(*from[i], from[i]->options().device(device));
      to[i]->copy_(*from[i], /*non_blocking=*/true);
    }
  }
}

}  // namespace lacuna
