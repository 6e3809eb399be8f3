// How much a network looks back at its source while it writes (lambda of Fu et al. 2023). Of attention over [source; targets] it
// falls as targets grow many; an attention to the source alone has 1.
#pragma once
#include <string>
#include <vector>

#include "data/batch.h"

namespace lacuna {

// The attentions of one kind, from the first layer to the last.
struct SourceMass {
  std::string attention;  // "self", over source and targets or targets alone; "source", of the source alone
  at::Tensor mass;  // (L, B, T) float32 on the device: of each target's probability, what lies on the source, over all heads
};

// Of architectures that can tell.
class SourceAttention {
 public:
  virtual ~SourceAttention() = default;
  // A pass in evaluation without gradients. On decoders the source is what `batch.bidirectional` marks, which need not be seen
  // from both sides; with an encoder it is the encoder's. The same on every tensor rank.
  virtual std::vector<SourceMass> source_attention(const Batch& batch) = 0;
};

// The masses of one watched pass over the layers, averaged over the heads and the tensor axis.
class Communicator;
struct AttentionWatch;
SourceMass source_mass(std::string attention, const AttentionWatch& watch, Communicator& tensor_axis);

}  // namespace lacuna
