// A pre-norm block of RMS norm, rotary attention and SwiGLU as functions of its weights, for tokens and for candidates of what
// follows them (energy_decoder.h). Candidates are differentiated twice, so their half is composed of operations that have second
// derivatives, with a softmax that is written out; tokens see no candidate and take ordinary attention.
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
  at::Tensor attention_norm;
  at::Tensor input;  // of queries, keys and values, one below the other, so that they are one product
  at::Tensor output, feed_forward_norm;
  at::Tensor gate_up;  // likewise
  at::Tensor down;
};

struct StreamShape {
  int64_t head_size;
  double norm_epsilon, rotary_base;
  Communicator* axis;  // tensor
};

// What candidates see of the tokens in one block: (B, H, T, d), this rank's heads, keys turned.
struct ObservedLayer {
  at::Tensor keys, values;
};
struct Heads {
  at::Tensor queries, keys, values;  // as above
};

// x (B, T, D): a stream before the block. Queries are scaled by `scale`.
Heads heads_of(const at::Tensor& x, const StreamWeights& weights, const StreamShape& shape, const RotaryAngles& angles,
               double scale = 1);
// The tokens' stream behind the block, from what it was and its heads.
at::Tensor observed_block(const at::Tensor& x, const Heads& heads, const StreamWeights& weights, const StreamShape& shape,
                          const AttentionPattern& pattern);

// candidates (B, n, D) through the block. scores (B or 1, 1, n, T) float: 0 where a candidate sees a token, else -inf; it always
// sees itself.
at::Tensor candidate_block(const at::Tensor& candidates, const ObservedLayer& layer, const StreamWeights& weights,
                           const StreamShape& shape, const RotaryAngles& angles, const at::Tensor& scores);

}  // namespace lacuna
