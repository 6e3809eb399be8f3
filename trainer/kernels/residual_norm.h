// The residual stream's addition and the normalisation behind it in one pass, and their derivative: LayerNorm (Ba et al. 2016) or
// RMSNorm (Zhang and Sennrich 2019). For fixed sequences of kernels; autograd sees none of it.
// Activations are (..., D), contiguous, fp32 or bf16, parameters of the same type; arithmetic, statistics and the parameters'
// gradients are fp32. Outputs that are given are written, those that are undefined are made.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

struct NormParameters {
  at::Tensor weight = {}, bias = {};  // (D); bias may be undefined
  bool centred = true;                // LayerNorm; else RMSNorm, which subtracts no mean
  double epsilon = 1e-5;
};

// What the backward and a recomputation need. The statistics are those of the sum as it is stored, in its type.
struct NormState {
  at::Tensor sum = {};              // (..., D)
  at::Tensor mean = {}, rstd = {};  // (rows) float32; mean is undefined where not centred
};

// sum = residual + delta and normed = norm(sum) * weight + bias; returns normed. state.sum may be given as the residual itself.
// Where delta is undefined the sum is the residual, and is not copied unless state.sum is given.
at::Tensor residual_norm(const at::Tensor& residual, const at::Tensor& delta, const NormParameters& parameters, NormState& state,
                         at::Tensor normed = {});

// normed again, the same bits.
at::Tensor renormed(const NormState& state, const NormParameters& parameters, at::Tensor normed = {});

// Where residual_norm_backward adds what it sums over the rows, float32 (D), in an order that does not change from run to run.
struct NormGradients {
  at::Tensor weight = {}, bias = {};  // bias may be undefined
  at::Tensor d_sums = {};             // gets the column sums of d: the gradient of a bias that was added to delta; may be undefined
};

// The gradient that residual and delta both get: d_sum (what reaches the sum from above; may be undefined) and what comes through
// the norm. `d` may be d_sum or d_normed.
at::Tensor residual_norm_backward(const at::Tensor& d_normed, const at::Tensor& d_sum, const NormState& state,
                                  const NormParameters& parameters, const NormGradients& gradients, at::Tensor d = {});

}  // namespace lacuna
