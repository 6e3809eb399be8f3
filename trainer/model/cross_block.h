// A block of the decoder of an encoder_decoder.
#pragma once
#include "trainer/model/cross_attention.h"
#include "trainer/model/decoder_block.h"

namespace lacuna {

// What all blocks of one pass read beside the residual stream.
struct CrossPass {
  StreamLayout stream;
  AttentionPattern self;       // of joint attention over source and targets as keys, else over targets
  AttentionPattern cross;      // over the source, of an attention of its own
  const RotaryAngles* angles;  // of the targets; may be null
  at::Tensor stream_positions;
};

// x + self_attention(norm(x)), then + cross_attention(norm(x), source), then + feed_forward(norm(x)); joint: x +
// attention(norm(x), [source; targets]) under one softmax, then + feed_forward(norm(x)).
class CrossBlock : public torch::nn::Module {
 public:
  // `shared`: the layers of an encoder's block to use in place of own ones; null = it has its own.
  CrossBlock(const ModelContext& context, const DecoderOptions& options, int64_t layer, bool joint = false,
             const DecoderBlock* shared = nullptr);
  // Keys and values of the source's states (B, S, D). `angles` are those of the source, which joint attention alone heeds.
  KeyValues read(const at::Tensor& states, const StreamLayout& stream, const RotaryAngles* angles = nullptr) const;
  at::Tensor forward(at::Tensor x, const CrossPass& pass, const KeyValues& source, KeyValueCache* cache) const;

 private:
  double dropout_;
  Random random_;
  BlockParts parts_;
  std::shared_ptr<Norm> cross_norm_;
  std::shared_ptr<CrossAttention> cross_;  // null: joint
};

}  // namespace lacuna
