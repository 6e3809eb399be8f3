// Reconstruction of spectrograms, or pictures, of which parts are hidden; specs of each part are in the headers named.
//
// ssast (Gong et al. 2022, "SSAST: self-supervised audio spectrogram transformer"): exactly num_masked of a row's patches
//   (patch_masks.h) are replaced by a learned vector. From the states there one head picks the patch out of the row's masked ones
//   (contrast.h), another paints it: L = L_d + lambda * L_g, means over masked patches, L_g of the mean squared error of a
//   patch's values. With two_masks each has a mask and a pass of its own, as in the released code: every sample then makes two
//   rows, one behind the other, the first for L_d, each weighing a half.
// tera, mockingjay, audio_albert (frame_alteration.h): the values themselves are altered, and a head predicts what they were: L1,
// mean
//   over predicted values. The last two differ from tera in that they alter time alone; audio_albert's is the network
//   (architecture.shared_layers).
//
// Values arrive normalised; SSAST's further division by 2 is `scale`. Rows shorter than the grid are padded behind with zeros
// that nobody sees. Masks fall on the whole grid, so that their number is the same in every row; padding weighs nothing, neither
// as a target nor as a candidate of the contrast.
#pragma once
#include "objectives/contrast.h"
#include "objectives/frame_alteration.h"
#include "trainer/model/painting.h"
#include "objectives/patch_masks.h"
#include "objectives/value_head.h"
#include "trainer/objective.h"

namespace lacuna {

enum class SpectrogramVariant { ssast, tera, mockingjay, audio_albert };
constexpr std::array<std::string_view, 4> names_of(SpectrogramVariant) { return {"ssast", "tera", "mockingjay", "audio_albert"}; }
enum class SpectrogramTerms { joint, discriminative, generative };
constexpr std::array<std::string_view, 3> names_of(SpectrogramTerms) { return {"joint", "discriminative", "generative"}; }

struct MaskedSpectrogramOptions {
  SpectrogramVariant variant = SpectrogramVariant::ssast;
  double scale = 0;
  SpectrogramTerms terms = SpectrogramTerms::joint;
  int64_t num_masked = 0;
  Cluster cluster = Cluster::fixed;
  int64_t cluster_min = 3, cluster_max = 5;
  double lambda = 10;
  ContrastAxis infonce_axis = ContrastAxis::pred;
  bool two_masks = true;
  double time_ratio = 0.15;
  int64_t time_width = 7;
  double frequency_ratio = -1;
  double noise_probability = -1;
  double noise_deviation = 0.2;
};
template <class Visitor>
void describe(Visitor& visit, MaskedSpectrogramOptions& o) {
  visit("variant", o.variant, "what is hidden and how it is asked for");
  visit("scale", o.scale, "normalised values are multiplied by it; 0 = the variant's: 0.5 of ssast, 1 of the others",
        at_least(0));
  visit("terms", o.terms, "ssast: the losses that are summed");
  visit("num_masked", o.num_masked, "ssast: masked patches of a row; 0 = 400 of 512 of them", at_least(0));
  visit("cluster", o.cluster, "ssast: how they lie, where patches do not span all bins; uniform where they do");
  visit("cluster_min", o.cluster_min, "ssast: least side of a square of masked patches", between(1, 64));
  visit("cluster_max", o.cluster_max, "ssast: greatest side", between(1, 64));
  visit("lambda", o.lambda, "ssast: weight of the generative loss beside the discriminative one", at_least(0));
  visit("infonce_axis", o.infonce_axis,
        "ssast: whether patches choose predictions, as in the released code, or predictions patches");
  visit("two_masks", o.two_masks, "ssast, joint: each loss has a mask and a pass of its own, as in the released code");
  visit("time_ratio", o.time_ratio, "others: share of the frames that is altered, by stretches; 0 = none", between(0, 1));
  visit("time_width", o.time_width, "others: frames of a stretch", at_least(1));
  visit("frequency_ratio", o.frequency_ratio,
        "others: greatest share of the bins that is set to 0; -1 = the variant's: 0.2 of tera, else 0", between(-1, 1));
  visit("noise_probability", o.noise_probability, "others: share of rows with noise; -1 = the variant's: 0.15 of tera, else 0",
        between(-1, 1));
  visit("noise_deviation", o.noise_deviation, "others: of the noise", at_least(0));
}

class MaskedSpectrogram : public Objective, public Painting {
 public:
  using Options = MaskedSpectrogramOptions;
  static Needs needs(const Options&) { return {.modality = "frames", .visibility = {Visibility::full}}; }

  // Throws usage errors for masks that do not fit into the grid.
  MaskedSpectrogram(const Options& options, const RowContext& context);
  Needs needs() const override { return needs(options_); }
  SpecialTokens special_tokens() const override { return {}; }
  int64_t sample_length() const override { return grid_.frames; }
  Batch prepare(std::span<const Sample> samples, const Random& random) const override;
  Loss loss(Architecture& architecture, const Batch& batch) override;
  double frame_scale() const override { return options_.scale; }
  void build(const ModelContext& context, const Architecture& architecture) override;
  double flops_per_token(const Architecture& architecture, int64_t length) const override;
  ModelWork work(const Architecture& architecture, int64_t samples, int64_t length, int64_t element_size) const override {
    return architecture.work(samples * rows_of_a_sample(), length, element_size);
  }
  at::Tensor paint(Architecture& architecture, const Batch& batch) override;
  int64_t rows_of_a_sample() const override { return doubles_rows() ? 2 : 1; }

 private:
  bool masks_patches() const { return options_.variant == SpectrogramVariant::ssast; }
  bool doubles_rows() const { return masks_patches() && options_.terms == SpectrogramTerms::joint && options_.two_masks; }
  Batch masked_rows(std::span<const Sample> samples, const Random& random) const;
  Batch altered_rows(std::span<const Sample> samples, const Random& random) const;
  Loss loss_of_masked(const at::Tensor& states, const Batch& batch) const;
  Loss loss_of_altered(const at::Tensor& states, const Batch& batch) const;

  Options options_;  // of the variant where it had a choice
  PatchGrid grid_;
  std::shared_ptr<ValueHead> discriminative_, generative_;  // those that the terms need
};

}  // namespace lacuna
