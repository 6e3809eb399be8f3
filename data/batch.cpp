#include "data/batch.h"

namespace lacuna {

Batch Batch::to(at::Device device) const {
  const auto move = [&](const at::Tensor& t) {
    // Pinned memory travels beside the computation; on the same device nothing is copied.
    return t.defined() ? t.to(device, /*non_blocking=*/device.is_cuda()) : t;
  };
  Batch moved = *this;
  for (at::Tensor* t : {&moved.tokens, &moved.targets, &moved.weights, &moved.bidirectional, &moved.segments, &moved.positions,
                        &moved.stream_positions, &moved.encoder_tokens, &moved.encoder_segments, &moved.encoder_positions}) {
    *t = move(*t);
  }
  return moved;
}

}  // namespace lacuna
