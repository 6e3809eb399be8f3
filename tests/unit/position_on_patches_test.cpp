#include "objectives/position_on_patches.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <map>

#include "objectives/position.h"
#include "tests/support/expect_error.h"
#include "tests/support/patch_network.h"
#include "tests/support/rows.h"

namespace lacuna {
namespace {

using namespace testing;

constexpr PatchGrid kGrid{.bins = 8, .frames = 16, .patch_bins = 2, .patch_frames = 2};  // 4 x 8
constexpr int64_t kPlaces = 32;

RowContext context() { return {.length = kGrid.frames, .rows_per_step = 4, .grid = kGrid, .begins_word = {}}; }
Batch place(const PositionOptions& options, const std::vector<Sample>& samples) {
  return place_patches(samples, kGrid, options, 4, Random(1, 1));
}
const PositionOptions kMp3{.withheld = 1, .eta = 0.75};
const PositionOptions kDropPos{.withheld = 0.75, .drop = 0.75};

struct Trained {
  Trained(const PositionOptions& options, PatchPosition position) : objective(options, context()) {
    auto encoder = tiny_patch_encoder();
    encoder.position = position;
    network = make_patch_network(encoder, kGrid, *mesh, &objective);
  }
  double loss(const Batch& batch) { return objective.loss(*network->encoder, batch).sum.item<double>() / batch.target_count; }
  at::Tensor states(const Batch& batch) {
    const torch::NoGradGuard no_grad;
    return network->encoder->forward(batch).states;
  }

  std::unique_ptr<Mesh> mesh = make_self_mesh();
  Position objective;
  std::unique_ptr<PatchNetwork> network;
};

TEST(PositionOnPatches, Mp3TellsNoPositionAndShowsExactlyTheContext) {
  const auto batch = place(kMp3, noise_frames(50, 16, 8));
  EXPECT_FALSE(batch.positions.defined());
  EXPECT_TRUE(at::equal(batch.keys.sum(1), at::full({50}, kPlaces - 24, at::kLong)));
  EXPECT_EQ(batch.target_count, 50 * kPlaces);  // context and the others alike
  EXPECT_TRUE(at::equal(batch.targets[0], at::arange(kPlaces, at::kInt)));
  EXPECT_FALSE(at::equal(batch.keys[0], batch.keys[1]));
  EXPECT_FALSE(batch.segments.defined());  // nothing is padding
}

TEST(PositionOnPatches, DropPosLeavesOutAndWithholdsExactCounts) {
  const auto batch = place(kDropPos, noise_frames(50, 16, 8));
  EXPECT_EQ(batch.length(), 8);
  for (int64_t row = 0; row < 50; ++row) {
    const auto positions = row_of<int32_t>(batch.positions, row), targets = row_of<int32_t>(batch.targets, row);
    const auto weights = row_of<float>(batch.weights, row);
    EXPECT_EQ(std::count(positions.begin(), positions.end(), kPlaces), 6);
    EXPECT_TRUE(std::is_sorted(targets.begin(), targets.end()));
    for (size_t s = 0; s < 8; ++s) {
      EXPECT_EQ(positions[s], weights[s] > 0 ? kPlaces : targets[s]);
    }
  }
  EXPECT_EQ(batch.weights.gather(1, batch.predicted.to(at::kLong)).sum().item<double>(), batch.target_count);
}

TEST(PositionOnPatches, ShortRecordingsAreAskedForTheirOwnPatches) {
  for (const auto& options : {kMp3, kDropPos, PositionOptions{}}) {
    const auto batch = place(options, noise_frames(10, 7, 8));  // four columns
    EXPECT_TRUE(batch.weights.masked_select(batch.segments.eq(0)).eq(0).all().item<bool>());
    EXPECT_LT(batch.targets.remainder(8).max().item<int>(), 4);
    EXPECT_EQ(batch.weights.gather(1, batch.predicted.to(at::kLong)).sum().item<double>(), batch.target_count);
    if (batch.keys.defined()) {
      EXPECT_TRUE(batch.keys.logical_and(batch.segments.eq(0)).any().item<bool>() == false);
      EXPECT_EQ(batch.keys[0].sum().item<int64_t>(), 16 - 12);
    }
  }
}

TEST(PositionOnPatches, DuplicatesAreFoundByExactContent) {
  const std::vector<float> patches{1, 2, 3, 4, 1, 2, 5, 6, 3, 4};
  const std::vector<int32_t> all(5, 1), without_last{1, 1, 1, 1, 0};
  EXPECT_EQ(find_duplicates(patches.data(), all.data(), 5, 2), (std::vector<bool>{true, true, true, false, true}));
  EXPECT_EQ(find_duplicates(patches.data(), without_last.data(), 5, 2), (std::vector<bool>{true, false, true, false, false}));
  auto samples = noise_frames(1, 16, 8);
  std::fill_n(samples[0].frames.begin(), 4 * 8, 0.0f);  // two columns of four patches are blank
  EXPECT_EQ(place(kMp3, samples).target_count, kPlaces - 8);
  auto counting = kMp3;
  counting.duplicates = Duplicates::count;
  EXPECT_EQ(place(counting, samples).target_count, kPlaces);
}

TEST(PositionOnPatches, EqualPatchesGetEqualStates) {
  auto samples = noise_frames(1, 16, 8);
  std::copy_n(samples[0].frames.begin(), 2 * 8, samples[0].frames.begin() + 6 * 8);  // column 3 repeats column 0
  Trained run({.withheld = 1}, PatchPosition::none);
  const auto states = run.states(place({.withheld = 1}, samples));
  EXPECT_TRUE(at::allclose(states[0][0], states[0][3], 1e-4, 1e-5));
  EXPECT_FALSE(at::allclose(states[0][0], states[0][1], 1e-2, 1e-2));
}

TEST(PositionOnPatches, Mp3IsEquivariantAndLosesItsWayOnlyByLabels) {
  Trained run(kMp3, PatchPosition::none);
  auto batch = place(kMp3, noise_frames(2, 16, 8));
  const auto order = at::randperm(kPlaces);
  auto moved = batch;
  for (auto field : {&Batch::values, &Batch::keys, &Batch::targets, &Batch::weights}) {
    moved.*field = (batch.*field).index_select(1, order);
  }
  EXPECT_TRUE(at::allclose(run.states(moved), run.states(batch).index_select(1, order), 1e-4, 1e-5));
  EXPECT_NEAR(run.loss(moved), run.loss(batch), 1e-4);
}

TEST(PositionOnPatches, NoGradientReachesPatchesOutsideOfTheContext) {
  Trained run(kMp3, PatchPosition::none);
  auto batch = place(kMp3, noise_frames(1, 16, 8));
  batch.values.set_requires_grad(true);
  for (const bool frozen : {false, true}) {
    auto& encoder = *run.network->encoder;
    const auto states = (frozen ? encoder.forward_on_embeddings(batch) : encoder.forward(batch)).states;
    for (const int64_t q : {0, 9, 31}) {
      batch.values.mutable_grad() = at::Tensor();
      states[0][q].sum().backward({}, /*retain_graph=*/true);
      const auto gradient = batch.values.grad()[0];
      for (int64_t k = 0; k < kPlaces; ++k) {
        if (k == q) continue;
        EXPECT_EQ(gradient[k].ne(0).any().item<bool>(), batch.keys[0][k].item<bool>()) << q << " " << k << " " << frozen;
      }
    }
  }
}

// The network again, of plain operations on one row: each block's keys and values are of the context's embeddings.
at::Tensor on_frozen_context(const PatchNetwork& p, const at::Tensor& values, const at::Tensor& context) {
  const auto linear = [&](const std::string& name, const at::Tensor& x) {
    return x.matmul(p[name + ".weight"].t()) + p[name + ".bias"];
  };
  const auto norm = [&](const std::string& name, const at::Tensor& x) {
    return at::layer_norm(x, {x.size(-1)}, p[name + ".weight"], p[name + ".bias"], 1e-5);
  };
  const auto embeddings = values.matmul(p["patch_weight"].t()) + p["patch_bias"], shown = embeddings.index_select(0, context);
  auto x = embeddings;
  for (const std::string block : {"block0", "block1"}) {
    const auto read = norm(block + ".attention_norm", shown);
    const auto heads = [](const at::Tensor& y) { return y.view({y.size(0), 4, -1}).transpose(0, 1); };
    const auto q = heads(linear(block + ".attention.query", norm(block + ".attention_norm", x)));
    const auto k = heads(linear(block + ".attention.key", read)), v = heads(linear(block + ".attention.value", read));
    const auto mixed = (q.matmul(k.transpose(1, 2)) / std::sqrt(8.0)).softmax(-1).matmul(v);
    x = x + linear(block + ".attention.output", mixed.transpose(0, 1).reshape({x.size(0), -1}));
    x = x +
        linear(block + ".feed_forward.down", at::gelu(linear(block + ".feed_forward.up", norm(block + ".feed_forward_norm", x))));
  }
  return norm("final_norm", x);
}

TEST(PositionOnPatches, AFrozenContextIsTheEmbeddingsInEveryLayer) {
  auto options = kMp3;
  options.context = Context::frozen;
  Trained run(options, PatchPosition::none);
  const auto batch = place(options, noise_frames(1, 16, 8));
  const torch::NoGradGuard no_grad;
  const auto states = run.network->encoder->forward_on_embeddings(batch).states[0];
  const auto expected = on_frozen_context(*run.network, batch.values[0], batch.keys[0].nonzero().squeeze(1));
  EXPECT_TRUE(at::allclose(states, expected, 1e-4, 1e-5)) << (states - expected).abs().max();
  EXPECT_FALSE(at::allclose(states, run.states(batch)[0], 1e-2, 1e-2)) << "a live context is another network";

  const auto logits = states.matmul((*run.network)["objective.places"].narrow(0, 0, kPlaces).t());
  const auto loss = -logits.log_softmax(-1).diagonal().sum().item<double>() / kPlaces;
  EXPECT_NEAR(run.loss(batch), loss, 1e-4);
}

TEST(PositionOnPatches, AFrozenContextLeavesTuningAlone) {
  auto options = kMp3;
  options.context = Context::frozen;
  Trained run(options, PatchPosition::none), live(kMp3, PatchPosition::none);
  auto whole = place(options, noise_frames(2, 16, 8));
  whole.keys = at::Tensor();
  EXPECT_TRUE(at::equal(run.states(whole), live.states(whole)));
}

// Three blank patches, of which one can be right, two that are alike, and the others.
TEST(PositionOnPatches, TheOracleFindsOneOfPatchesThatAreAlike) {
  const auto picked = at::tensor({0., 0., 1., 2., 0., 0., 5., 6., 1., 2., 0., 0.}, at::kFloat).view({1, 6, 2}).repeat({2, 1, 1});
  auto counted = at::ones({2, 6});
  counted[1][0] = 0;
  const auto shares = findable(picked, counted);
  EXPECT_TRUE(at::allclose(shares[0], at::tensor({1. / 3, .5, 1. / 3, 1., .5, 1. / 3}, at::kFloat))) << shares;
  EXPECT_TRUE(at::allclose(shares[1], at::tensor({0., .5, .5, 1., .5, .5}, at::kFloat))) << shares;
}

TEST(PositionOnPatches, TheOracleIsToldWhereANetworkIsJudged) {
  auto samples = noise_frames(3, 16, 8);
  for (auto& sample : samples) std::fill_n(sample.frames.begin(), 4 * 8, 0.0f);  // two columns of four patches are blank
  for (const auto duplicates : {Duplicates::count, Duplicates::ignore}) {
    const PositionOptions options{.withheld = 1, .duplicates = duplicates};
    Trained run(options, PatchPosition::none);
    const auto metrics = [&](bool training) {
      run.network->encoder->train(training);
      const auto batch = place(options, samples);
      std::map<std::string, double> found;
      for (const auto& [name, sum] : run.objective.loss(*run.network->encoder, batch).metrics)
        found[name] = sum.item<double>() / batch.target_count;
      return found;
    };
    EXPECT_FALSE(metrics(true).contains("oracle"));
    const auto judged = metrics(false);
    EXPECT_NEAR(judged.at("oracle"), duplicates == Duplicates::count ? 25.0 / 32 : 1, 1e-6);  // 24 others, and one of eight
    EXPECT_LE(judged.at("accuracy"), judged.at("oracle"));
  }
}

TEST(PositionOnPatches, WithEveryPatchInTheContextAttentionIsFull) {
  Trained run({.withheld = 1}, PatchPosition::none);
  auto batch = place({.withheld = 1}, noise_frames(2, 16, 8));
  EXPECT_FALSE(batch.keys.defined());
  const auto base = run.states(batch);
  batch.keys = at::ones({2, kPlaces}, at::kBool);
  EXPECT_TRUE(at::allclose(run.states(batch), base, 1e-5, 1e-6));
}

// A context read by its own: what a row of its patches alone gives them, they get beside the others.
TEST(PositionOnPatches, RestrictedKeysAreARowOfTheContextAlone) {
  Trained run(kMp3, PatchPosition::none);
  const auto batch = place(kMp3, noise_frames(1, 16, 8));
  const auto context = batch.keys[0].nonzero().squeeze(1);
  Batch alone;
  alone.values = batch.values.index_select(1, context);
  alone.stream_positions = batch.stream_positions;
  EXPECT_TRUE(at::allclose(run.states(alone), run.states(batch).index_select(1, context), 1e-4, 1e-5));
}

TEST(PositionOnPatches, AnIndifferentHeadLosesTheLogarithmOfThePlaces) {
  for (const bool smoothed : {false, true}) {
    auto options = kDropPos;
    options.smoothing = smoothed ? 2 : 0;
    Trained run(options, PatchPosition::learned);
    {
      const torch::NoGradGuard no_grad;
      (*run.network)["objective.places"].zero_();
    }
    EXPECT_NEAR(run.loss(run.objective.prepare(noise_frames(4, 16, 8), Random(1, 1))), std::log(32.0), 1e-5);
  }
}

TEST(PositionOnPatches, SmoothedTargetsSumToOneAndSharpenWithTheSteps) {
  auto options = kDropPos;
  options.smoothing = 1, options.smoothing_steps = 10;
  const auto at_step = [&](int64_t step) { return place(options, noise_frames(4, 16, 8, 4 * step)); };
  const auto first = at_step(0), later = at_step(5), last = at_step(10);
  for (const auto* batch : {&first, &later, &last}) {
    EXPECT_TRUE(at::allclose(batch->value_targets.sum(-1), at::ones({4, 6}), 1e-5));
    const auto places = batch->targets.gather(1, batch->predicted.to(at::kLong)).to(at::kLong);
    EXPECT_TRUE(at::equal(batch->value_targets.argmax(-1), places));
  }
  EXPECT_LT(first.value_targets.amax(-1).max().item<float>(), later.value_targets.amax(-1).max().item<float>());
  EXPECT_TRUE(last.value_targets.amax(-1).eq(1).all().item<bool>());

  // At deviation 0 the loss is that of hard targets.
  Trained run(options, PatchPosition::learned);
  auto hard = last;
  hard.value_targets = at::Tensor();
  EXPECT_NEAR(run.loss(last), run.loss(hard), 1e-6);
}

TEST(PositionOnPatches, SmoothedTargetsAreNearTheirPlaceOnTheGrid) {
  auto options = kDropPos;
  options.smoothing = 1;
  const auto batch = place(options, noise_frames(1, 16, 8));
  const auto target = batch.targets[0][batch.predicted[0][0].item<int>()].item<int>();
  const int line = target / 8, column = target % 8;
  const auto chance = [&](int l, int c) { return batch.value_targets[0][0][l * 8 + c].item<double>(); };
  const int other_line = line < 3 ? line + 1 : line - 1, other_column = column < 7 ? column + 1 : column - 1;
  EXPECT_NEAR(chance(other_line, column) / chance(line, column), std::exp(-0.5), 1e-5);
  EXPECT_NEAR(chance(other_line, other_column) / chance(line, column), std::exp(-1.0), 1e-5);
}

TEST(PositionOnPatches, WeightsByResemblanceSumToTheCountInEveryRow) {
  const auto batch = place(kDropPos, noise_frames(3, 7, 8));
  const auto states = at::randn({3, batch.length(), 16}), picked = states.narrow(1, 0, 6);
  const auto counted =
      at::tensor({1., 1., 0., 1., 1., 1., 1., 1., 1., 1., 1., 1., 0., 0., 0., 0., 0., 0.}, at::kFloat).view({3, 6});
  const auto weights = resemblance(picked, states, batch, counted, 0.1);
  EXPECT_TRUE(at::allclose(weights.sum(1), counted.sum(1), 1e-5));
  EXPECT_TRUE(weights.masked_select(counted.eq(0)).eq(0).all().item<bool>());
  EXPECT_TRUE(at::allclose(resemblance(picked, states, batch, counted, 1e6), counted, 1e-3, 1e-3));
}

TEST(PositionOnPatches, FormsThatLeakAreRefused) {
  Position mp3(kMp3, context());
  const auto mesh = make_self_mesh();
  for (const auto position : {PatchPosition::learned, PatchPosition::sine}) {
    auto encoder = tiny_patch_encoder();
    encoder.position = position;
    expect_error(ExitCode::usage, "position = \"none\"", [&] { make_patch_network(encoder, kGrid, *mesh, &mp3); });
  }
  auto none = PatchEncoderOptions();
  none.position = PatchPosition::none;
  auto needs = Position::needs({});
  needs.modality = "frames";
  EXPECT_TRUE(misfit(needs, PatchEncoder::offers(none)));  // nothing to tell a place by
  EXPECT_FALSE(misfit(needs, PatchEncoder::offers({})));
  expect_error(ExitCode::usage, "for patches", [] { Position({.drop = 0.5}, {.length = 16, .begins_word = {}}); });
}

}  // namespace
}  // namespace lacuna
