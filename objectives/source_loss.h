// Language modelling of the source beside the decoder's targets (the source auto-encoding of Fu et al. 2023, as recalled): a
// state of a causal encoder predicts the source token that follows it in its segment.
#pragma once
#include "trainer/objective.h"

namespace lacuna {

// Throws a usage error where the architecture has no causal encoder and `weight` is above 0, or where it is 0 and parts of the
// encoder would learn from nothing else.
void check_source_loss(double weight, const Architecture& architecture);

// Has each source token that is predicted count `weight` times as much as a target in the loss's gradient. What is told leaves
// the source out, and has it as "source_loss", the mean over its tokens. source_states (B, S, D) as TwoSided::forward_both gives
// them.
void add_source_loss(Loss& loss, const Head& head, const at::Tensor& source_states, const Batch& batch, double weight);

}  // namespace lacuna
