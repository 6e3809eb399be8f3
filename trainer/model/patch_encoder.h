// Transformer blocks over patches of spectrograms and pictures, with full visibility: the network of SSAST (a ViT; Gong et al.
// 2022, section 2.1), of TERA, Mockingjay and Audio ALBERT (patches of one whole frame; post_norm, sine, and for the last
// shared_layers) and of position prediction (Zhai et al. 2022; Wang et al. 2023).
//
// A patch is embedded by one linear map; where Batch::masked says so a learned vector stands in its place, before its position is
// added. Batch::positions may differ from the patch's place; behind the last place lies the one that stands for "withheld". Class
// tokens, learned, stand before the patches, see and are seen by all, and are left out of the states. Patches of padding
// (Batch::segments 0) and those outside of Batch::keys are seen by none; they themselves see the others.
//
// Where blocks are single nodes of kernels (ModelContext::fused) those carry pre-norm blocks without dropout on rows without
// padding and keys; the others are composed.
//
// Initial values are the decoder's (normal, 0.02), not the xavier values of the released codes. With shared_layers the layers
// share their dropout masks as well.
#pragma once
#include "trainer/config/section.h"
#include "trainer/model/decoder_block.h"
#include "trainer/model/frozen_context.h"
#include "trainer/model/layer_states.h"
#include "trainer/model/packed_pattern.h"

namespace lacuna {

enum class PatchPosition { learned, sine, none };
constexpr std::array<std::string_view, 3> names_of(PatchPosition) { return {"learned", "sine", "none"}; }

struct PatchEncoderOptions {
  int64_t num_layers = 4;
  int64_t hidden_size = 128;
  int64_t num_heads = 4;
  int64_t feed_forward_size = 0;
  NormKind norm = NormKind::layer_norm;
  double norm_epsilon = 1e-5;
  PatchPosition position = PatchPosition::learned;
  Activation activation = Activation::gelu;
  BiasKind bias = BiasKind::all;
  double dropout = 0.0;
  int64_t patch_mels = 0;
  int64_t patch_frames = 1;
  int64_t num_class_tokens = 0;
  bool post_norm = false;
  bool shared_layers = false;
};
template <class Visitor>
void describe(Visitor& visit, PatchEncoderOptions& o) {
  describe_block(visit, o,
                 {.norm = "layer_norm or rms_norm",
                  .position = "how patches know their place: learned vectors, sines of line and column, or not at all"});
  visit("patch_mels", o.patch_mels, "mel bins, or lines of a picture, of a patch; 0 = all", at_least(0));
  visit("patch_frames", o.patch_frames, "frames of a patch; a row has batch.sequence_length frames", at_least(1));
  visit("num_class_tokens", o.num_class_tokens, "learned tokens before the patches; SSAST has 2", between(0, 64));
  visit("post_norm", o.post_norm, "normalise after each half, as BERT does, instead of before");
  visit("shared_layers", o.shared_layers, "all layers use one block's parameters, as ALBERT's do");
}

class PatchEncoder : public Architecture, public LayerStates, public FrozenContext {
 public:
  using Options = PatchEncoderOptions;
  // Throws usage errors at the keys that do not go together, or not with the tensor axis.
  static void check(const Options& options, const Section& section, int64_t tensor_size);
  static Offers offers(const Options& options);

  // `context.grid` is needed; its places are context.max_length, or one less where positions are withheld.
  PatchEncoder(const Options& options, const ModelContext& context);
  Offers offers() const override { return offers(options_); }
  Hidden forward(const Batch& batch) override;
  Hidden forward_on_embeddings(const Batch& batch) override;  // composed
  std::vector<at::Tensor> layer_states(const Batch& batch) override;
  ModelWork work(int64_t rows, int64_t length, int64_t element_size) const override;
  Backends backends(int64_t rows, int64_t length, bool documents) const override;
  int64_t hidden_size() const override { return options_.hidden_size; }

 private:
  // (B, class tokens + T, D), ready for the first block.
  at::Tensor embedded(const Batch& batch) const;
  at::Tensor with_positions(const at::Tensor& x, const Batch& batch) const;
  AttentionPattern pattern(const Batch& batch) const;
  at::Tensor block(int64_t layer, const at::Tensor& x, const Batch& batch, const AttentionPattern& pattern) const;
  at::Tensor block_on(const at::Tensor& context, int64_t layer, const at::Tensor& x, const Batch& batch,
                      const AttentionPattern& pattern) const;
  std::shared_ptr<DecoderBlock> shared_block(int64_t layer) const { return blocks_[static_cast<size_t>(layer) % blocks_.size()]; }
  // Whether a block's activations are made again in backward. Throws a usage error for what composed blocks cannot do.
  bool makes_again() const;
  // The same as single nodes of kernels, and why they cannot carry it; empty where they can.
  at::Tensor fused_stack(const Batch& batch) const;
  std::string not_fused(bool training, bool restricted) const;
  PackedPattern packed_pattern(int64_t rows, int64_t length) const;
  // Of the last block's output: normalised, without class tokens.
  at::Tensor finished(const at::Tensor& x) const;
  at::Tensor patches_of(const at::Tensor& x) const {
    return x.narrow(1, options_.num_class_tokens, x.size(1) - options_.num_class_tokens);
  }
  const at::Tensor& sines(const at::Tensor& like) const;

  Options options_;
  Mesh& mesh_;
  const Operations& operations_;
  bool fused_, deterministic_;
  Recompute recompute_;
  PatchGrid grid_;
  Random random_;
  at::Tensor weight_, bias_;                           // (D, P), (D) of the patch embedding
  at::Tensor mask_;                                    // (D)
  at::Tensor class_tokens_;                            // (class tokens, D)
  at::Tensor position_;                                // (max_length, D), learned
  at::Tensor withheld_;                                // (D), beside sines, where positions are withheld
  mutable at::Tensor sines_;                           // (T, D), made at the first use on the device where it is
  std::shared_ptr<Norm> norm_;                         // after the last block, or after the embedding
  std::vector<std::shared_ptr<DecoderBlock>> blocks_;  // one alone where layers are shared
};

// Sines and cosines (T, D) of a grid's places: of the column, and where there are several lines, in the first half of D of the
// line and in the second of the column (Vaswani et al. 2017, section 3.5; in two dimensions as He et al. 2022 have them). D is a
// multiple of 4.
at::Tensor sine_positions(const PatchGrid& grid, int64_t size, at::Device device);

}  // namespace lacuna
