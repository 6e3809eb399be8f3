#include "objectives/descent.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

namespace lacuna {
namespace {

at::Tensor energy_of(const CandidateStream& text, const at::Tensor& energy_head, const at::Tensor& candidates) {
  const auto states = text.states(candidates);
  const auto wide = at::promote_types(states.scalar_type(), at::kFloat);
  return (states.to(wide) * energy_head.to(wide)).sum(-1);
}

}  // namespace

Slope slope(const CandidateStream& text, const Head& head, const at::Tensor& energy_head, const at::Tensor& p,
            bool differentiable) {
  const c10::AutoGradMode enabled(true);
  auto candidates = head.mixtures(differentiable ? p : p.detach());
  if (!differentiable) candidates = candidates.detach().requires_grad_();
  const auto e = energy_of(text, energy_head, candidates);
  const auto by_candidate = torch::autograd::grad({e.sum()}, {candidates}, {}, differentiable, differentiable)[0];
  auto g = head.logits(by_candidate);
  return {.energies = e.detach(), .g = differentiable ? g : g.detach()};
}

at::Tensor energies(const CandidateStream& text, const Head& head, const at::Tensor& energy_head, const at::Tensor& p) {
  const at::NoGradGuard no_grad;
  return energy_of(text, energy_head, head.mixtures(p));
}

}  // namespace lacuna
