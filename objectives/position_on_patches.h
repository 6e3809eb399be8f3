// The rows of position prediction on patches, as pure functions of a row's own random numbers. Two published forms are settings:
//
// MP3 (Zhai et al. 2022, "Position prediction as an effective pretraining strategy"): withheld = 1, so that no patch has a
// position,
//   and eta: only a random n - floor(eta n) of the n patches may be attended to, in every layer, at their states there; with
//   context = "frozen" at their embeddings in every layer, as a public reimplementation has it, which is another network.
// DropPos (Wang et al. 2023): a share `drop` of the patches is left out of the row, and of the others a share `withheld` lacks
// its
//   position. Targets may be smoothed: a Gaussian over the distance of places on the grid, whose deviation falls to 0. Patches
//   may be weighed by how much they resemble the picture: a softmax of cosine similarities over the temperature; to the mean of
//   the states here, to a class token's state in the paper.
//
// Places are those of the whole grid; padding has none, is seen by none and is not asked for. Patches that occur more than once
// in a picture cannot be told apart by a network without positions: with duplicates = "ignore" none of them is asked for.
#pragma once
#include <span>
#include <vector>

#include "data/batch.h"
#include "data/patch_grid.h"
#include "data/random.h"
#include "trainer/config/describe.h"

namespace lacuna {

enum class Duplicates { ignore, count };
constexpr std::array<std::string_view, 2> names_of(Duplicates) { return {"ignore", "count"}; }

enum class Context { live, frozen };
constexpr std::array<std::string_view, 2> names_of(Context) { return {"live", "frozen"}; }

struct PositionOptions {
  double withheld = 0.75;
  double drop = 0;
  double eta = 0;
  Context context = Context::live;
  Duplicates duplicates = Duplicates::ignore;
  double smoothing = 0;
  int64_t smoothing_steps = 0;
  double reweight_temperature = 0;
};
template <class Visitor>
void describe(Visitor& visit, PositionOptions& o) {
  visit("withheld", o.withheld, "share of the tokens or patches whose position is withheld and predicted",
        Range{.low = 0, .high = 1, .open_low = true});
  visit("drop", o.drop, "patches: share that is left out of the row", from_below(0, 1));
  visit("eta", o.eta, "patches: share that no other patch may attend to", from_below(0, 1));
  visit("context", o.context, "patches: attention reads states of the layer before, or in every layer the embeddings");
  visit("duplicates", o.duplicates, "patches: whether those that occur more than once in a row are asked for");
  visit("smoothing", o.smoothing,
        "patches: deviation, in patches, of the Gaussian targets of the first step; 0 = the place alone", at_least(0));
  visit("smoothing_steps", o.smoothing_steps, "patches: steps in which it falls to 0; 0 = it stays", at_least(0));
  visit("reweight_temperature", o.reweight_temperature,
        "patches: of the weights by resemblance to the row's mean state; 0 = equal weights", at_least(0));
}

// values, segments where there is padding, targets (places), weights, predicted; positions where some patches keep theirs, keys
// where eta > 0. A row has patches - floor(drop * patches) slots, its kept patches in order and then padding. With smoothing,
// value_targets (B, predicted, places): rows that sum to 1.
Batch place_patches(std::span<const Sample> samples, const PatchGrid& grid, const PositionOptions& options, int64_t rows_per_step,
                    const Random& random);

// How much of each asked patch (B, K) a network could find at best that tells patches apart by their content alone: 1 over the
// number of those of its row that are asked for and equal to it. `picked` (B, K, P) are their values; those not `counted` (B, K)
// are asked for by nobody, and get 0.
at::Tensor findable(const at::Tensor& picked, const at::Tensor& counted);

// Weights (B, K) in place of `counted`, with the same sum in each row: by the cosine similarity of the states picked (B, K, D) to
// the mean of states (B, T, D) that are not padding. Without gradient.
at::Tensor resemblance(const at::Tensor& picked, const at::Tensor& states, const Batch& batch, const at::Tensor& counted,
                       double temperature);

// Which of T patches (T, P) are equal to another one that is not padding, whose `valid` is 0.
std::vector<bool> find_duplicates(const float* patches, const int32_t* valid, int64_t count, int64_t size);

}  // namespace lacuna
