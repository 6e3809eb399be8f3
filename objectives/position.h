// Position prediction on tokens, in the form of DropPos (Wang et al. 2023, "DropPos: pre-training vision transformers by
// reconstructing dropped positions"): a fixed share of a row's tokens is given no position, and each of these is classified to
// its place among all T. The others keep theirs, as the only sign of order: attention sees everything and is blind to it
// otherwise, so the architecture's positions must be learned vectors. A further vector, which is learned too, stands for "no
// position".
//
// MP3's form, in which no token has a position (Zhai et al. 2022), is refused on text: a window of a text does not tell where it
// starts, and every place would be as good as any other.
#pragma once
#include "trainer/objective.h"
#include "trainer/parallel/self_communicator.h"

namespace lacuna {

struct PositionOptions {
  double withheld = 0.75;
};
template <class Visitor>
void describe(Visitor& visit, PositionOptions& o) {
  visit("withheld", o.withheld, "share of the tokens whose position is withheld and predicted",
        Range{.low = 0, .high = 1, .open_low = true});
}

class Position : public Objective {
 public:
  using Options = PositionOptions;
  static Needs needs(const Options&) { return {.visibility = {Visibility::full}, .withheld_positions = true}; }

  // Throws usage errors for options under which there is nothing to tell a place by.
  Position(const Options& options, const RowContext& context);
  Needs needs() const override { return needs(options_); }
  SpecialTokens special_tokens() const override { return {.end = context_.end_token}; }
  int64_t sample_length() const override { return context_.length; }
  std::optional<int64_t> num_classes() const override { return context_.length; }
  Batch prepare(std::span<const Sample> samples, const Random& random) const override;
  Loss loss(Architecture& architecture, const Batch& batch) override;
  void build(const ModelContext& context, const Architecture& architecture) override;

 private:
  Options options_;
  RowContext context_;
  SelfCommunicator alone_{"places"};  // the head over places is whole on every rank
  std::shared_ptr<Head> head_;
};

}  // namespace lacuna
