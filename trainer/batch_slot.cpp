#include "trainer/batch_slot.h"

#include <ATen/ops/empty_like.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace lacuna {
namespace {

using Fields = std::array<at::Tensor*, Batch::kNumTensors>;
using ConstFields = std::array<const at::Tensor*, Batch::kNumTensors>;

// Of fields that share a tensor, the first.
size_t first_same(const ConstFields& fields, size_t i) {
  size_t first = 0;
  while (!fields[first]->is_same(*fields[i])) ++first;
  return first;
}

// Gives `to` room for the tensors of `from`, shared where they are shared there; false where some of it is new.
bool make_room(const ConstFields& from, const Fields& to, at::Device device) {
  bool same = true;
  for (size_t i = 0; i < from.size(); ++i) {
    const size_t first = first_same(from, i);
    if (!from[i]->defined()) {
      same = same && !to[i]->defined();
      to[i]->reset();
    } else if (first < i) {
      same = same && to[i]->is_same(*to[first]);
      *to[i] = *to[first];
    } else if (!to[i]->defined() || to[i]->sizes() != from[i]->sizes()) {
      same = false;
      *to[i] = at::empty_like(*from[i], from[i]->options().device(device));
    }
  }
  return same;
}

void copy_all(const ConstFields& from, const Fields& to) {
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i]->defined() && first_same(from, i) == i) to[i]->copy_(*from[i], /*non_blocking=*/true);
  }
}

}  // namespace

bool BatchSlot::load(const Batch& batch, at::Device device) {
  if (device.is_cpu()) {
    batch_ = batch;
    return true;
  }
  const c10::impl::VirtualGuardImpl streams(device.type());
  const auto computing = streams.getStream(device);
  if (!copying_) {
    copying_ = streams.getStreamFromGlobalPool(device);
    taken_.emplace(device.type());
  }
  batch_.target_count = batch.target_count;
  const bool same = make_room(batch.tensors(), batch_.tensors(), device);
  // New room may be memory that what is queued still uses.
  if (!make_room(batch.tensors(), arriving_.tensors(), device)) taken_->record(computing);
  taken_->block(*copying_);
  {
    const c10::StreamGuard guard(*copying_);
    copy_all(batch.tensors(), arriving_.tensors());
  }
  c10::Event arrived(device.type());
  arrived.record(*copying_);
  arrived.block(computing);
  copy_all(std::as_const(arriving_).tensors(), batch_.tensors());
  taken_->record(computing);
  return same;
}

}  // namespace lacuna
