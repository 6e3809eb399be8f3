// The place on the device where the micro-batches of a run come to lie, one after the other.
#pragma once
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <optional>

#include "data/batch.h"

namespace lacuna {

class BatchSlot {
 public:
  // On the host the batch itself. On a device a copy at addresses that stay the same as long as the shapes do; false where one of
  // them is new. It is queued on a stream of its own, beside the work on the batch before, and the current stream waits for it.
  // The host's tensors may be freed as soon as this returns where they are pinned.
  bool load(const Batch& batch, at::Device device);
  const Batch& value() const { return batch_; }

 private:
  Batch batch_, arriving_;             // the same fields, and where they land while batch_ is still read
  std::optional<c10::Stream> copying_;  // that of the copies from the host
  std::optional<c10::Event> taken_;    // behind the last reading of arriving_
};

}  // namespace lacuna
