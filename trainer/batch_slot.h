// The place on the device where the micro-batches of a run come to lie, one after the other.
#pragma once
#include "data/batch.h"

namespace lacuna {

class BatchSlot {
 public:
  // On the host the batch itself; on a device a copy, queued on the current stream, at addresses that stay the same as long as
  // the shapes do; false where one of them is new. The host's tensors may be freed as soon as this returns where they are pinned.
  bool load(const Batch& batch, at::Device device);
  const Batch& value() const { return batch_; }

 private:
  Batch batch_;
};

}  // namespace lacuna
