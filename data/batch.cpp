#include "data/batch.h"

#include <algorithm>

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

namespace {

// Each tensor by itself; what two fields share they share afterwards.
template <class Move>
Batch moved(const Batch& batch, const Move& move) {
  Batch result = batch;
  const auto from = batch.tensors();
  const auto to = result.tensors();
  for (size_t i = 0; i < from.size(); ++i) {
    if (!from[i]->defined()) continue;
    const auto first = static_cast<size_t>(
        std::find_if(from.begin(), from.end(), [&](const at::Tensor* t) { return t->is_same(*from[i]); }) - from.begin());
    *to[i] = first < i ? *to[first] : move(*from[i]);
  }
  return result;
}

}  // namespace

Batch Batch::to(at::Device device) const {
  return moved(*this, [&](const at::Tensor& t) { return t.to(device, /*non_blocking=*/device.is_cuda()); });
}

Batch Batch::pinned() const {
  return moved(*this, [](const at::Tensor& t) { return t.pin_memory(); });
}

}  // namespace lacuna
