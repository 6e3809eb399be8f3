// patch_encoder under masked_spectrogram against plain PyTorch in double precision: see make_patch_encoder.py.
#include <ATen/ops/arange.h>
#include <gtest/gtest.h>

#include "objectives/masked_spectrogram.h"
#include "tests/golden/compare.h"
#include "tests/support/patch_network.h"

namespace lacuna {
namespace {

using testing::GoldenFile;
using testing::relative_error;

struct Golden {
  Golden(const std::string& name, const MaskedSpectrogramOptions& options, const PatchEncoderOptions& encoder,
         const PatchGrid& grid)
      : file("tests/golden/patch_encoder/" + name + ".safetensors"),
        objective(options, {.length = grid.frames, .grid = grid, .begins_word = {}}) {
    network = testing::make_patch_network(encoder, grid, *mesh, &objective);
    testing::set_initial_values(network->parameters, file);
    batch.values = file["values"];
    batch.segments = file["segments"];
    batch.stream_positions = at::arange(batch.values.size(0), at::kLong);
  }

  void compare() {
    EXPECT_LT(relative_error(network->encoder->forward(batch).states, file["states"]), 1e-5);
    const auto loss = objective.loss(*network->encoder, batch).sum;
    const double expected = file["loss"].item<double>();
    EXPECT_NEAR(loss.item<double>(), expected, 1e-5 * expected);
    loss.backward();
    testing::expect_gradients(network->parameters, file);
  }

  GoldenFile file;
  std::unique_ptr<Mesh> mesh = make_self_mesh();
  MaskedSpectrogram objective;
  std::unique_ptr<testing::PatchNetwork> network;
  Batch batch;
};

PatchEncoderOptions encoder() {
  PatchEncoderOptions o;
  o.num_layers = 2, o.hidden_size = 32, o.num_heads = 4, o.feed_forward_size = 48;
  return o;
}

TEST(PatchEncoderGolden, SsastJoint) {
  auto options = encoder();
  options.num_class_tokens = 2;
  MaskedSpectrogramOptions ssast;
  ssast.num_masked = 7;
  Golden golden("ssast", ssast, options, {.bins = 8, .frames = 12, .patch_bins = 2, .patch_frames = 3});
  golden.batch.masked = golden.file["masked"].to(at::kBool);
  golden.batch.predicted = golden.file["predicted"];
  golden.batch.weights = golden.file["weights"];
  golden.batch.value_targets = golden.batch.values;
  golden.compare();
}

TEST(PatchEncoderGolden, Tera) {
  auto options = encoder();
  options.position = PatchPosition::sine, options.post_norm = true;
  MaskedSpectrogramOptions tera;
  tera.variant = SpectrogramVariant::tera;
  Golden golden("tera", tera, options, {.bins = 6, .frames = 10, .patch_bins = 6, .patch_frames = 1});
  golden.batch.value_targets = golden.file["value_targets"];
  golden.batch.value_weights = golden.file["value_weights"];
  golden.compare();
}

}  // namespace
}  // namespace lacuna
