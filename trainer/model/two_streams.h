// A pre-norm block of RMS norm, rotary attention and SwiGLU as functions of its weights, for tokens and for candidates of what
// follows them (energy_decoder.h). Candidates are differentiated twice, so their half is composed of ATen operations that have
// second derivatives, with a softmax that is written out; tokens see no candidate and take ordinary attention.
//
// Weights are this tensor rank's slices, rows of query, key, value, gate and up, columns of output and down; streams are whole on
// every rank.
#pragma once
#include <ATen/core/Tensor.h>

#include "trainer/kernels/attention.h"
#include "trainer/kernels/rotary.h"
#include "trainer/parallel/communicator.h"

namespace lacuna {

struct StreamWeights {
  at::Tensor attention_norm, query, key, value, output, feed_forward_norm, gate, up, down;
};

struct StreamShape {
  int64_t head_size;
  double norm_epsilon, rotary_base;
  Communicator* axis;  // tensor
};

// x / rms(x) * weight, computed in fp32 or wider.
at::Tensor rms_normed(const at::Tensor& x, const at::Tensor& weight, double epsilon);

// What candidates see of the tokens in one block.
struct ObservedLayer {
  at::Tensor normed;        // (B, T, D), as this rank's products read it
  at::Tensor keys, values;  // (B, H, T, d), this rank's heads, keys turned
};

// x (B, T, D): the tokens' stream before the block.
ObservedLayer observed_layer(const at::Tensor& x, const StreamWeights& weights, const StreamShape& shape,
                             const RotaryAngles& angles);
// The tokens' stream behind it.
at::Tensor observed_block(const at::Tensor& x, const ObservedLayer& layer, const StreamWeights& weights, const StreamShape& shape,
                          const RotaryAngles& angles, const AttentionPattern& pattern);

// candidates (B, n, D) through the block. scores (B or 1, 1, n, T) float: 0 where a candidate sees a token, else -inf; it always
// sees itself.
at::Tensor candidate_block(const at::Tensor& candidates, const ObservedLayer& layer, const StreamWeights& weights,
                           const StreamShape& shape, const RotaryAngles& angles, const at::Tensor& scores);

}  // namespace lacuna
