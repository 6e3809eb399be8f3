#include "data/batch.h"

namespace lacuna {
namespace {

// For a Batch and for a const Batch.
template <class B>
auto tensors_of(B& b) {
  return std::array{&b.tokens,           &b.targets,        &b.weights,          &b.predicted,        &b.future_targets,
                    &b.future_weights,   &b.bidirectional,  &b.segments,         &b.documents,        &b.positions,
                    &b.stream_positions, &b.encoder_tokens, &b.encoder_segments, &b.encoder_positions, &b.kept,
                    &b.replayed,         &b.words,          &b.values,           &b.masked,           &b.keys,
                    &b.value_targets,    &b.value_weights};
}

}  // namespace

std::array<at::Tensor*, Batch::kNumTensors> Batch::tensors() { return tensors_of(*this); }
std::array<const at::Tensor*, Batch::kNumTensors> Batch::tensors() const { return tensors_of(*this); }

Batch Batch::to(at::Device device) const {
  Batch moved = *this;
  for (at::Tensor* t : moved.tensors()) {
    if (t->defined()) *t = t->to(device, /*non_blocking=*/device.is_cuda());
  }
  return moved;
}

Batch Batch::pinned() const {
  Batch moved = *this;
  for (at::Tensor* t : moved.tensors()) {
    if (t->defined()) *t = t->pin_memory();
  }
  return moved;
}

}  // namespace lacuna
