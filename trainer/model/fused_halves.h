// The halves of a transformer block as single autograd nodes: inside each is a fixed sequence of kernels, forward and backward,
// with weight gradients added straight to flat storage. decoder.cpp composes the same network of ordinary operations; that
// composition is the oracle of these, and serves whatever they do not carry.
//
// The residual stream travels as a sum that has not been made yet, so that each addition is part of the next normalisation.
#pragma once
#include <vector>

#include "trainer/kernels/affine.h"
#include "trainer/kernels/packed_attention.h"
#include "trainer/kernels/residual_norm.h"
#include "trainer/kernels/rotary.h"
#include "trainer/config/recompute.h"
#include "trainer/model/stream_layout.h"

namespace lacuna {

// x = residual + delta, both laid out as StreamLayout says; without a delta x is the residual. Where the half that made delta ends with a bias, the
// gradient of that bias is the sum over all rows, or this rank's share of them, of what reaches delta: who adds delta makes it, in a pass that it has anyway.
struct ResidualStream {
  at::Tensor residual, delta;
  at::Tensor bias_gradient = {};  // (D) float32, its place; or undefined
};

// A normalisation with the places of its gradients.
struct NormWeights {
  NormParameters values;
  NormGradients gradients;
};

struct AttentionHalf {
  NormWeights norm;
  AffineWeights input, output;  // of queries, keys and values in one; of the mixed heads
  PackedAttentionShape shape;   // this rank's heads
  RotaryTable rotary;           // undefined: no rotary positions
  at::Tensor positions;         // (B, T) int32, or undefined: 0..T-1
  StreamLayout stream;
  std::vector<at::Tensor> parameters;  // all of the above that autograd is to know of
};

enum class Activation { gelu, gelu_tanh, swiglu, geglu };
constexpr std::array<std::string_view, 4> names_of(Activation) { return {"gelu", "gelu_tanh", "swiglu", "geglu"}; }
constexpr bool is_gated(Activation a) { return a == Activation::swiglu || a == Activation::geglu; }

struct FeedForwardHalf {
  NormWeights norm;
  AffineWeights input, output;  // input holds gate and up side by side where gated
  Activation activation;
  StreamLayout stream;
  std::vector<at::Tensor> parameters;
};

// x -> x, attention(norm(x)).
ResidualStream attention_half(const ResidualStream& x, AttentionHalf half, Recompute recompute);
// x -> x, feed_forward(norm(x)).
ResidualStream feed_forward_half(const ResidualStream& x, FeedForwardHalf half, Recompute recompute);
// One after the other; as a single node that keeps nothing but x where a block is to be recomputed.
ResidualStream transformer_block(const ResidualStream& x, AttentionHalf attention, FeedForwardHalf feed_forward, Recompute recompute);
// norm(x).
at::Tensor final_norm(const ResidualStream& x, NormWeights norm, std::vector<at::Tensor> parameters);

}  // namespace lacuna
