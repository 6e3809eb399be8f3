#include "objectives/masked_spectrogram.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randperm.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/patch_network.h"

namespace lacuna {
namespace {

using namespace testing;

constexpr PatchGrid kGrid{.bins = 8, .frames = 16, .patch_bins = 2, .patch_frames = 2};  // 4 x 8 patches of 4 values
constexpr int64_t kMasked = 20;

RowContext context(const PatchGrid& grid = kGrid) { return {.length = grid.frames, .grid = grid, .begins_word = {}}; }

MaskedSpectrogramOptions ssast() {
  MaskedSpectrogramOptions o;
  o.num_masked = kMasked, o.cluster_min = 2, o.cluster_max = 3;
  return o;
}

struct Trained {
  explicit Trained(const MaskedSpectrogramOptions& options) : objective(options, context()) {
    network = make_patch_network(tiny_patch_encoder(), kGrid, *mesh, &objective);
  }
  double loss(const Batch& batch) { return objective.loss(*network->encoder, batch).sum.item<double>() / batch.target_count; }
  void set(const std::string& name, double value) {
    const torch::NoGradGuard no_grad;
    (*network)["objective." + name].fill_(value);
  }

  std::unique_ptr<Mesh> mesh = make_self_mesh();
  MaskedSpectrogram objective;
  std::unique_ptr<PatchNetwork> network;
};

TEST(MaskedSpectrogram, PatchesAreCutByBinThenFrameThenChannel) {
  const PatchGrid grid{.bins = 4, .frames = 4, .channels = 2, .patch_bins = 2, .patch_frames = 2};
  MaskedSpectrogramOptions o;
  o.num_masked = 1, o.scale = 1, o.two_masks = false, o.cluster = Cluster::uniform;
  Sample sample;
  for (int bin_of_frame = 0; bin_of_frame < 3 * 4; ++bin_of_frame) {  // three frames; value = frame * 100 + bin * 10 + channel
    for (int channel = 0; channel < 2; ++channel) {
      sample.frames.push_back(static_cast<float>(bin_of_frame / 4 * 100 + bin_of_frame % 4 * 10 + channel));
    }
  }
  const auto batch = MaskedSpectrogram(o, context(grid)).prepare(std::vector{sample}, Random(1, 1));
  const auto patch = [&](int64_t i) {
    const auto row = batch.values[0][i].contiguous();
    return std::vector<float>(row.data_ptr<float>(), row.data_ptr<float>() + row.numel());
  };
  EXPECT_EQ(patch(0), (std::vector<float>{0, 1, 100, 101, 10, 11, 110, 111}));
  EXPECT_EQ(patch(3), (std::vector<float>{220, 221, 0, 0, 230, 231, 0, 0}));  // the fourth frame is padding
  EXPECT_FALSE(batch.segments.defined());  // no patch is padding from its first frame on
}

TEST(MaskedSpectrogram, EachTermHasAMaskOfItsOwn) {
  const auto samples = noise_frames(6, 16, 8);
  const auto batch = MaskedSpectrogram(ssast(), context()).prepare(samples, Random(1, 1));
  ASSERT_EQ(batch.rows(), 12);
  EXPECT_TRUE(at::equal(batch.masked.sum(1), at::full({12}, kMasked, at::kLong)));
  for (int64_t row = 0; row < 12; row += 2) {
    EXPECT_TRUE(at::equal(batch.values[row], batch.values[row + 1]));
    EXPECT_FALSE(at::equal(batch.masked[row], batch.masked[row + 1]));
  }
  EXPECT_EQ(batch.target_count, 6 * kMasked);
  auto one = ssast();
  one.two_masks = false;
  EXPECT_EQ(MaskedSpectrogram(one, context()).prepare(samples, Random(1, 1)).rows(), 6);
}

TEST(MaskedSpectrogram, PaddingIsMaskedButWeighsNothing) {
  const auto batch = MaskedSpectrogram(ssast(), context()).prepare(noise_frames(20, 9, 8), Random(1, 1));
  EXPECT_TRUE(at::equal(batch.masked.sum(1), at::full({40}, kMasked, at::kLong)));
  const auto valid = batch.segments.ne(0);
  EXPECT_EQ(valid[0].sum().item<int64_t>(), 5 * 4);  // the fifth column has one frame
  EXPECT_TRUE(at::equal(batch.weights.gt(0), valid.logical_and(batch.masked)));
}

TEST(MaskedSpectrogram, AnIndifferentDiscriminatorLosesTheLogarithmOfThePatches) {
  auto options = ssast();
  options.terms = SpectrogramTerms::discriminative;
  Trained run(options);
  run.set("discriminative.weight", 0);
  run.set("discriminative.bias", 0);
  EXPECT_NEAR(run.loss(run.objective.prepare(noise_frames(4, 16, 8), Random(1, 1))), std::log(20.0), 1e-5);
}

TEST(MaskedSpectrogram, APaintingOfZerosCostsTheMeanSquareOfTheMaskedValues) {
  auto options = ssast();
  options.terms = SpectrogramTerms::generative;
  Trained run(options);
  run.set("generative.weight", 0);
  run.set("generative.bias", 0);
  const auto batch = run.objective.prepare(noise_frames(4, 16, 8), Random(1, 1));
  const auto masked = batch.value_targets.masked_select(batch.masked.unsqueeze(-1));
  EXPECT_NEAR(run.loss(batch), masked.square().mean().item<double>(), 1e-5);
  EXPECT_NEAR(run.loss(batch), 0.25, 0.05);  // values of deviation 1, halved
}

TEST(MaskedSpectrogram, TheJointLossIsBothTerms) {
  Trained run(ssast());
  const auto batch = run.objective.prepare(noise_frames(4, 16, 8), Random(1, 1));
  const auto loss = run.objective.loss(*run.network->encoder, batch);
  std::map<std::string, double> terms;
  for (const auto& [name, sum] : loss.metrics) terms[name] = sum.item<double>();
  EXPECT_NEAR(loss.sum.item<double>(), terms["discriminative"] + 10 * terms["generative"], 1e-3);
  EXPECT_GT(terms["discriminative"], 0);
  EXPECT_GT(terms["generative"], 0);
}

TEST(Contrast, TheRightPairsOrthogonalAndFarCostNothingOnBothAxes) {
  const auto patches = at::eye(5).unsqueeze(0), weights = at::ones({1, 5});
  for (const auto axis : {ContrastAxis::pred, ContrastAxis::target}) {
    const auto found = contrast(100 * patches, patches, weights, axis);
    EXPECT_LT(found.losses.max().item<double>(), 1e-6);
    EXPECT_EQ(found.correct.sum().item<double>(), 5);
    EXPECT_NEAR(contrast(at::zeros({1, 5, 5}), patches, weights, axis).losses.mean().item<double>(), std::log(5.0), 1e-6);
  }
}

TEST(Contrast, OneAxisIsTheOtherOfTransposedScores) {
  const auto c = at::randn({2, 7, 4}), x = at::randn({2, 7, 4}), weights = at::ones({2, 7});
  const auto scores = x.bmm(c.transpose(1, 2));
  const auto self = [](const at::Tensor& s) { return -s.log_softmax(-1).diagonal(0, 1, 2); };
  EXPECT_TRUE(at::allclose(contrast(c, x, weights, ContrastAxis::pred).losses, self(scores)));
  EXPECT_TRUE(at::allclose(contrast(c, x, weights, ContrastAxis::target).losses, self(scores.transpose(1, 2))));
}

TEST(Contrast, TheOrderOfMaskedPatchesDoesNotMatter) {
  const auto c = at::randn({1, 7, 4}), x = at::randn({1, 7, 4}), weights = at::ones({1, 7}), order = at::randperm(7);
  const auto moved = [&](const at::Tensor& t) { return t.index_select(1, order); };
  for (const auto axis : {ContrastAxis::pred, ContrastAxis::target}) {
    EXPECT_TRUE(at::allclose(contrast(moved(c), moved(x), weights, axis).losses, moved(contrast(c, x, weights, axis).losses)));
  }
}

TEST(Contrast, WhatWeighsNothingIsNoCandidate) {
  auto c = at::randn({1, 6, 4}), x = at::randn({1, 6, 4}), weights = at::ones({1, 6});
  weights[0][2] = 0;
  for (const auto axis : {ContrastAxis::pred, ContrastAxis::target}) {
    const auto before = contrast(c, x, weights, axis).losses.mul(weights);
    auto other_c = c.clone(), other_x = x.clone();
    other_c[0][2].fill_(50), other_x[0][2].fill_(50);
    EXPECT_TRUE(at::equal(contrast(other_c, other_x, weights, axis).losses.mul(weights), before));
  }
  EXPECT_EQ(contrast(c, x, at::zeros({1, 6}), ContrastAxis::pred).losses.isfinite().all().item<bool>(), true);
}

// Perturbing one value of each patch of row 0, where it is masked and where it is not.
TEST(MaskedSpectrogram, MaskedPatchesLeaveTheirPlaceButNotTheirContent) {
  Trained run(ssast());
  const torch::NoGradGuard no_grad;
  const auto batch = run.objective.prepare(noise_frames(1, 16, 8), Random(1, 1));
  const auto base = run.network->encoder->forward(batch).states;
  for (int64_t patch = 0; patch < batch.length(); ++patch) {
    auto changed = batch;
    changed.values = batch.values.clone();
    changed.values[0][patch].add_(1);
    const bool differs = !at::equal(run.network->encoder->forward(changed).states[0], base[0]);
    EXPECT_EQ(differs, !batch.masked[0][patch].item<bool>()) << patch;
  }
  // With everything masked states still differ from place to place: positions are added after the learned vector.
  auto all = batch;
  all.masked = at::ones_like(batch.masked);
  EXPECT_FALSE(at::allclose(run.network->encoder->forward(all).states[0][3], run.network->encoder->forward(all).states[0][4]));
}

TEST(MaskedSpectrogram, WhatIsNotMaskedIsNotAskedFor) {
  Trained run(ssast());
  auto batch = run.objective.prepare(noise_frames(4, 16, 8), Random(1, 1));
  const double loss = run.loss(batch);
  batch.value_targets = at::where(batch.masked.unsqueeze(-1), batch.value_targets, at::full({}, 9.0F));
  EXPECT_EQ(run.loss(batch), loss);
}

TEST(MaskedSpectrogram, ItsWorkIsThatOfTheRowsThatItMakes) {
  for (const bool two_masks : {false, true}) {
    auto options = ssast();
    options.two_masks = two_masks;
    Trained trained(options);
    const auto& encoder = *trained.network->encoder;
    const auto rows = trained.objective.prepare(noise_frames(3, kGrid.frames, kGrid.bins), Random(1, 1)).rows();
    const auto work = trained.objective.work(encoder, 3, kGrid.patches(), 4);
    EXPECT_EQ(rows, two_masks ? 6 : 3);
    EXPECT_DOUBLE_EQ(work.kept_bytes, encoder.work(rows, kGrid.patches(), 4).kept_bytes);
    // Beside the heads', the FLOPs that are told of a sample's patches are those of all of its rows.
    const double told = 3 * static_cast<double>(kGrid.patches()) * flops_per_token(trained.objective, encoder, kGrid.patches());
    EXPECT_GT(told, model_flops(work));
    EXPECT_LT(told, 1.5 * model_flops(work));
  }
}

TEST(MaskedSpectrogram, APerfectPaintingCostsNothing) {
  auto options = ssast();
  options.terms = SpectrogramTerms::generative;
  Trained run(options);
  run.set("generative.weight", 0);
  run.set("generative.bias", 0.5);
  auto samples = noise_frames(2, 16, 8);
  for (auto& sample : samples) std::fill(sample.frames.begin(), sample.frames.end(), 1.0F);  // halved by the scale
  EXPECT_EQ(run.loss(run.objective.prepare(samples, Random(1, 1))), 0);
}

TEST(MaskedSpectrogram, WhateverStandsInPaddingChangesNothing) {
  for (const auto variant : {SpectrogramVariant::ssast, SpectrogramVariant::tera}) {
    auto options = ssast();
    options.variant = variant;
    Trained run(options);
    auto batch = run.objective.prepare(noise_frames(4, 9, 8), Random(1, 1));
    const auto gradients = [&] {
      std::vector<at::Tensor> all;
      for (auto& p : run.network->parameters) p.value.mutable_grad() = at::Tensor();
      run.objective.loss(*run.network->encoder, batch).sum.backward();
      for (auto& p : run.network->parameters) {
        if (p.value.grad().defined()) all.push_back(p.value.grad().clone());
      }
      return all;
    };
    const double loss = run.loss(batch);
    const auto expected = gradients();
    const auto padding = batch.segments.eq(0).unsqueeze(-1);
    batch.values = batch.values.masked_fill(padding, 7.0);
    if (variant == SpectrogramVariant::ssast) batch.value_targets = batch.values;
    EXPECT_EQ(run.loss(batch), loss);
    const auto actual = gradients();
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) EXPECT_TRUE(at::equal(actual[i], expected[i])) << i;
  }
}

TEST(MaskedSpectrogram, WhatIsLeftIntactIsCopiedForNothing) {
  MaskedSpectrogramOptions options;
  options.variant = SpectrogramVariant::mockingjay;
  const PatchGrid frames{.bins = 8, .frames = 64, .patch_bins = 8, .patch_frames = 1};
  const MaskedSpectrogram objective(options, context(frames));
  int64_t intact = 0;
  for (const auto& sample : noise_frames(200, 60, 8)) {
    const auto batch = objective.prepare(std::vector{sample}, Random(1, 1));
    const double error = (batch.value_weights * (batch.values - batch.value_targets).abs()).sum().item<double>();
    intact += error == 0;
    EXPECT_EQ(batch.target_count, batch.value_weights.sum().item<double>());
    EXPECT_EQ(batch.target_count, 7 * 8);
  }
  EXPECT_NEAR(static_cast<double>(intact), 20, 5 * std::sqrt(200 * .1 * .9));
}

TEST(MaskedSpectrogram, OnlyTeraAltersFrequenciesOfItself) {
  const PatchGrid frames{.bins = 80, .frames = 64, .patch_bins = 80, .patch_frames = 1};
  const auto share = [&](SpectrogramVariant variant) {
    MaskedSpectrogramOptions options;
    options.variant = variant;
    const auto batch = MaskedSpectrogram(options, context(frames)).prepare(noise_frames(200, 60, 80), Random(1, 1));
    return batch.target_count / (200 * 60 * 80);
  };
  EXPECT_NEAR(share(SpectrogramVariant::mockingjay), 7.0 / 60, 1e-6);
  EXPECT_NEAR(share(SpectrogramVariant::audio_albert), 7.0 / 60, 1e-6);
  EXPECT_NEAR(share(SpectrogramVariant::tera), 7.0 / 60 + 53.0 / 60 * 0.1, 0.02);  // 8 of 80 bins on average
}

TEST(MaskedSpectrogram, MasksThatDoNotFitAreRefused) {
  auto options = ssast();
  options.num_masked = 33;
  expect_error(ExitCode::usage, "at most 32", [&] { MaskedSpectrogram(options, context()); });
  options.cluster = Cluster::reference;
  expect_error(ExitCode::usage, "at most 30", [&] { MaskedSpectrogram(options, context()); });
  options = ssast();
  options.cluster_min = 4;
  expect_error(ExitCode::usage, "cluster_min = 4", [&] { MaskedSpectrogram(options, context()); });
}

}  // namespace
}  // namespace lacuna
