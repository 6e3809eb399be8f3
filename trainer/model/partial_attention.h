// The partial attention of PALM (Fu et al. 2023, "Decoder-Only or Encoder-Decoder? Interpreting Language Model as a Regularized
// Encoder-Decoder"): a third part of a decoder's block, attending to the source alone under a softmax of its own. In ordinary
// attention over [source; targets] the share of the source falls as targets grow many; here it is 1 whatever their number.
//
// Keys and values come from a small network of the layer on the source's states, P = P1 + W2 P1 with P1 = act(W1 source), as a
// public reimplementation has it. The paper's body was not read, and this is decided here: "the source's states" are what the
// layer's queries are made of too, the normalised residual stream after the ordinary attention; the source is the positions of
// Batch::bidirectional, of the same segment; every position looks at all of it, also those of the source, which see one another
// anyway; no positions take part; act is GELU without biases; W1 and W2 lie whole on every tensor rank, since P is a sum of one's
// input and output. A position whose segment has no source sees itself alone.
#pragma once
#include "trainer/model/cross_attention.h"

namespace lacuna {

class PartialAttention : public torch::nn::Module {
 public:
  PartialAttention(const ModelContext& context, const AttentionShape& shape);
  // x: the residual stream as `stream` says, normalised.
  KeyValues read(const at::Tensor& x, const StreamLayout& stream) const;
  // Of the queries x, to what was read of the source.
  at::Tensor forward(const at::Tensor& x, const StreamLayout& stream, const KeyValues& source,
                     const AttentionPattern& pattern) const;

 private:
  const Operations& operations_;
  at::Tensor first_, second_;  // W1, W2 (D, D)
  std::shared_ptr<CrossAttention> cross_;
};

// (B, T) bool -> the pattern over T keys; segments as the batch has them.
AttentionPattern source_pattern(const Batch& batch);
// (B, T) int32: of each position, how many of the source's are in its segment.
at::Tensor source_counts(const Batch& batch);

}  // namespace lacuna
