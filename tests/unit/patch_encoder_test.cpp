#include "trainer/model/patch_encoder.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/patch_network.h"

namespace lacuna {
namespace {

using namespace testing;

constexpr PatchGrid kGrid{.bins = 4, .frames = 6, .patch_bins = 2, .patch_frames = 2};  // 2 x 3 patches of 4 values

Batch random_patches(int64_t rows = 2) {
  Batch batch;
  batch.values = at::randn({rows, kGrid.patches(), kGrid.patch_size()});
  batch.stream_positions = at::arange(rows, at::kLong);
  return batch;
}

at::Tensor states(PatchNetwork& network, const Batch& batch) {
  const torch::NoGradGuard no_grad;
  network.encoder->eval();
  return network.encoder->forward(batch).states;
}

std::vector<std::pair<std::string, PatchEncoderOptions>> shapes() {
  auto post = tiny_patch_encoder(), classes = post, sine = post, shared = post, none = post;
  post.post_norm = true;
  classes.num_class_tokens = 2;
  sine.position = PatchPosition::sine;
  shared.shared_layers = true;
  none.position = PatchPosition::none;
  none.norm = NormKind::rms_norm, none.activation = Activation::swiglu, none.bias = BiasKind::none;
  return {{"plain", tiny_patch_encoder()},
          {"post_norm", post},
          {"class_tokens", classes},
          {"sine", sine},
          {"shared", shared},
          {"none", none}};
}

TEST(PatchEncoder, PaddingAndWhatIsNoKeyReachNobodyElse) {
  const auto mesh = make_self_mesh();
  for (const auto& [name, options] : shapes()) {
    const auto network = make_patch_network(options, kGrid, *mesh, nullptr);
    auto batch = random_patches(1);
    batch.segments = at::ones({1, 6}, at::kInt);
    batch.segments[0][5] = 0;
    batch.keys = at::tensor({1, 0, 1, 1, 0, 1}).to(at::kBool).unsqueeze(0);
    const auto base = states(*network, batch);
    EXPECT_EQ(base.sizes(), (std::vector<int64_t>{1, 6, 32})) << name;
    for (int64_t k = 0; k < 6; ++k) {
      auto changed = batch;
      changed.values = batch.values.clone();
      changed.values[0][k].add_(1);
      const auto moved = states(*network, changed);
      const bool seen = k == 0 || k == 2 || k == 3;
      for (int64_t q = 0; q < 6; ++q)
        EXPECT_EQ(!at::equal(moved[0][q], base[0][q]), seen || q == k) << name << " " << k << " " << q;
    }
  }
}

TEST(PatchEncoder, ARowOfPaddingAloneIsFinite) {
  const auto mesh = make_self_mesh();
  auto batch = random_patches();
  batch.segments = at::zeros({2, 6}, at::kInt);
  EXPECT_TRUE(states(*make_patch_network(tiny_patch_encoder(), kGrid, *mesh, nullptr), batch).isfinite().all().item<bool>());
}

TEST(PatchEncoder, WithoutPositionsTheOrderOfPatchesDoesNotMatter) {
  const auto mesh = make_self_mesh();
  auto options = tiny_patch_encoder();
  options.position = PatchPosition::none, options.num_class_tokens = 1;
  const auto network = make_patch_network(options, kGrid, *mesh, nullptr);
  auto batch = random_patches();
  batch.keys = at::tensor({1, 0, 1, 1, 0, 1}).to(at::kBool).expand({2, 6});
  const auto order = at::tensor({3, 1, 5, 0, 2, 4});
  auto moved = batch;
  moved.values = batch.values.index_select(1, order), moved.keys = batch.keys.index_select(1, order);
  EXPECT_TRUE(at::allclose(states(*network, moved), states(*network, batch).index_select(1, order), 1e-4, 1e-5));
}

TEST(PatchEncoder, PositionsMayBeGivenAndAreThoseOfThePlacesOtherwise) {
  const auto mesh = make_self_mesh();
  for (const auto position : {PatchPosition::learned, PatchPosition::sine}) {
    auto options = tiny_patch_encoder();
    options.position = position;
    const auto network = make_patch_network(options, kGrid, *mesh, nullptr);
    auto batch = random_patches();
    const auto base = states(*network, batch);
    batch.positions = at::arange(6, at::kInt).expand({2, 6}).contiguous();
    EXPECT_TRUE(at::allclose(states(*network, batch), base, 1e-5, 1e-6));
    // The same patches at the same places in another order are the same states in that order.
    const auto order = at::tensor({3, 1, 5, 0, 2, 4});
    auto moved = batch;
    moved.values = batch.values.index_select(1, order), moved.positions = batch.positions.index_select(1, order);
    EXPECT_TRUE(at::allclose(states(*network, moved), base.index_select(1, order), 1e-4, 1e-5));
  }
}

TEST(PatchEncoder, SinesTellLinesAndColumns) {
  const auto sines = sine_positions(kGrid, 8, at::kCPU);                       // 2 lines, 3 columns
  EXPECT_TRUE(at::equal(sines[1].narrow(0, 0, 4), sines[0].narrow(0, 0, 4)));  // one line
  EXPECT_TRUE(at::equal(sines[4].narrow(0, 4, 4), sines[1].narrow(0, 4, 4)));  // one column
  EXPECT_FALSE(at::allclose(sines[4], sines[1]));
  EXPECT_NEAR(sines[5][0].item<double>(), std::sin(1.0), 1e-6);
  EXPECT_NEAR(sines[5][6].item<double>(), std::cos(2.0), 1e-6);
  const auto line = sine_positions({.bins = 4, .frames = 6, .patch_bins = 4, .patch_frames = 2}, 8, at::kCPU);
  EXPECT_NEAR(line[2][1].item<double>(), std::sin(2 * std::pow(10000.0, -0.25)), 1e-6);
}

TEST(PatchEncoder, SharedLayersHaveTheParametersOfOneAndTheGradientsOfAll) {
  const auto mesh = make_self_mesh();
  auto options = tiny_patch_encoder();
  options.shared_layers = true;
  const auto size = [](const PatchNetwork& network) {
    int64_t count = 0;
    for (const auto& p : network.parameters) count += p.value.numel();
    return count;
  };
  auto deeper = options;
  deeper.num_layers = 5;
  EXPECT_EQ(size(*make_patch_network(options, kGrid, *mesh, nullptr)), size(*make_patch_network(deeper, kGrid, *mesh, nullptr)));

  // Two equal blocks beside the one that is used twice: its gradient is the sum of theirs.
  const auto shared = make_patch_network(options, kGrid, *mesh, nullptr),
             apart = make_patch_network(tiny_patch_encoder(), kGrid, *mesh, nullptr);
  for (auto& p : apart->parameters) {
    const torch::NoGradGuard no_grad;
    auto name = p.name;
    if (name.starts_with("block1")) name[5] = '0';
    p.value.copy_((*shared)[name]);
  }
  const auto batch = random_patches();
  const auto weights = at::randn({2, 6, 32});
  for (const auto* network : {shared.get(), apart.get()}) (network->encoder->forward(batch).states * weights).sum().backward();
  for (const auto& p : shared->parameters) {
    if (!p.name.starts_with("block0")) continue;
    auto second = p.name;
    second[5] = '1';
    EXPECT_TRUE(at::allclose(p.value.grad(), (*apart)[p.name].grad() + (*apart)[second].grad(), 1e-3, 1e-4)) << p.name;
  }
}

TEST(PatchEncoder, LayerStatesEndWithTheStates) {
  const auto mesh = make_self_mesh();
  for (const auto& [name, options] : shapes()) {
    const auto network = make_patch_network(options, kGrid, *mesh, nullptr);
    const auto batch = random_patches();
    const torch::NoGradGuard no_grad;
    const auto layers = network->encoder->layer_states(batch);
    ASSERT_EQ(layers.size(), 3U) << name;
    for (const auto& layer : layers) EXPECT_EQ(layer.sizes(), (std::vector<int64_t>{2, 6, 32})) << name;
    EXPECT_TRUE(at::equal(layers.back(), network->encoder->forward(batch).states)) << name;
    EXPECT_FALSE(at::allclose(layers[0], layers[1])) << name;
  }
}

TEST(PatchEncoder, WorkCountsWhatTheMathematicsNeeds) {
  const auto mesh = make_self_mesh();
  const auto network = make_patch_network(tiny_patch_encoder(), kGrid, *mesh, nullptr);
  const double block = 4 * 32 * 32 + 2 * 32 * 64, attention = 2 * 6 * 32;
  EXPECT_NEAR(network->encoder->flops_per_token(6), 6 * (2 * (block + attention) + 4 * 32), 1e-6);
}

TEST(PatchEncoder, OptionsThatDoNotGoTogetherAreRefused) {
  auto options = tiny_patch_encoder();
  options.hidden_size = 30;
  expect_error(ExitCode::usage, "num_heads", [&] { PatchEncoder::check(options, Section(), 1); });
  options = tiny_patch_encoder();
  options.hidden_size = 6, options.num_heads = 1, options.position = PatchPosition::sine;
  expect_error(ExitCode::usage, "multiple of 4", [&] { PatchEncoder::check(options, Section(), 1); });
}

}  // namespace
}  // namespace lacuna
