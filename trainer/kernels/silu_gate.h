// The gated activation of SwiGLU (Shazeer 2020) as a differentiable function, for networks whose slopes are differentiated again: of
// rows that hold the gate in their first half and up in the second, silu(gate) * up. On the host a composition; on a device the value,
// its gradients and their derivatives are a pass each. activations.h has the one whose gradients are not differentiated again.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

// packed (..., 2 F) -> (..., F).
at::Tensor silu_gate(const at::Tensor& packed);
// The composition, on any device: the oracle.
at::Tensor silu_gate_reference(const at::Tensor& packed);

}  // namespace lacuna
