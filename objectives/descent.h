// The descent on candidates that an energy-based objective predicts by (energy.h numbers its parts).
#pragma once
#include "trainer/model/architecture.h"

namespace lacuna {

// What one step finds at the candidates p (B, n, V).
struct Slope {
  at::Tensor energies;  // (B, n), detached
  at::Tensor g;         // (B, n, V) = d sum(E) / d p, of p's type or float32
};

// Numbers 3 to 5: E = energy_head . states(p W), and its derivative, by (d sum(E) / d (p W)) W^T, where the head's table is W. With
// `differentiable` g has a graph, back to p, the table and the network. Works under no_grad too. energy_head (1, D).
Slope slope(const CandidateStream& text, const Head& head, const at::Tensor& energy_head, const at::Tensor& p, bool differentiable);

// Energies (B, n) alone, detached.
at::Tensor energies(const CandidateStream& text, const Head& head, const at::Tensor& energy_head, const at::Tensor& p);

}  // namespace lacuna
