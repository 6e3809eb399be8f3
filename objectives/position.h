// Position prediction: a share of a row's tokens, or of a picture's or recording's patches, is given no position, and each of
// these is classified to its place among all. What differs between the two is told in position_on_patches.h.
//
// On tokens, in the form of DropPos (Wang et al. 2023, "DropPos: pre-training vision transformers by reconstructing dropped
// positions"): the others keep their position, as the only sign of order. Attention sees everything and is blind to it otherwise,
// so the architecture's positions must be learned vectors. A further vector, which is learned too, stands for "no position".
// MP3's form, in which no token has a position (Zhai et al. 2022), is refused on text: a window of a text does not tell where it
// starts, and every place would be as good as any other.
#pragma once
#include "objectives/position_on_patches.h"
#include "trainer/objective.h"
#include "trainer/parallel/self_communicator.h"

namespace lacuna {

class Position : public Objective {
 public:
  using Options = PositionOptions;
  // On text; on patches a network without positions carries the form in which all are withheld.
  static Needs needs(const Options& o) { return {.visibility = {Visibility::full}, .withheld_positions = o.withheld < 1}; }

  // Throws usage errors for options under which there is nothing to tell a place by.
  Position(const Options& options, const RowContext& context);
  Needs needs() const override { return needs(options_); }
  SpecialTokens special_tokens() const override { return {.end = context_.end_token}; }
  int64_t sample_length() const override { return context_.length; }
  std::optional<int64_t> num_classes() const override { return places(); }
  Batch prepare(std::span<const Sample> samples, const Random& random) const override;
  Loss loss(Architecture& architecture, const Batch& batch) override;
  // Throws a usage error where the network tells patches the positions that all of them are to lack.
  void build(const ModelContext& context, const Architecture& architecture) override;
  double flops_per_token(const Architecture& architecture, int64_t length) const override;

 private:
  int64_t places() const { return context_.grid ? context_.grid->patches() : context_.length; }
  Batch prepare_tokens(std::span<const Sample> samples, const Random& random) const;
  // `judged`: also "oracle", the accuracy of the best network that tells patches apart by content alone; it asks the device.
  Loss loss_on_patches(const at::Tensor& states, const Batch& batch, bool judged) const;

  Options options_;
  RowContext context_;
  SelfCommunicator alone_{"places"};  // the head over places is whole on every rank
  std::shared_ptr<Head> head_;
};

}  // namespace lacuna
