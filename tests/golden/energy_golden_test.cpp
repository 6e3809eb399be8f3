// Descents and their second derivatives against plain PyTorch in double precision: see energy/make_golden.py.
#include <ATen/ops/arange.h>
#include <gtest/gtest.h>

#include "tests/golden/compare.h"
#include "tests/support/energy_network.h"

namespace lacuna {
namespace {

using testing::GoldenFile;
using testing::relative_error;

struct Regime {
  const char* file;
  EnergyOptions options;
};

class EnergyGolden : public ::testing::TestWithParam<Regime> {};

TEST_P(EnergyGolden, LossLogitsMetricsAndEveryGradient) {
  const GoldenFile golden(std::string("tests/golden/energy/") + GetParam().file);
  const auto mesh = make_self_mesh();
  const auto network = testing::make_energy_network(
      GetParam().options, *mesh,
      {.vocabulary_size = 11,
       .length = 6,
       .rows_per_step = 2,
       .decoder = {.num_layers = 2, .hidden_size = 12, .num_heads = 2, .feed_forward_size = 10}});
  testing::set_initial_values(network->parameters, golden);
  Batch batch;
  batch.tokens = golden["tokens"];
  batch.targets = golden["targets"];
  batch.weights = at::ones({2, 6}, at::kFloat);
  batch.stream_positions = at::arange(2, at::kLong);
  batch.target_count = 12;

  const auto loss = network->objective->loss(*network->decoder, batch);
  const double expected = golden["loss"].item<double>();
  EXPECT_NEAR(loss.sum.item<double>(), expected, 1e-4 * expected);
  for (const auto& [name, value] : loss.metrics) {
    if (name != "energy_gap" && name != "slope") continue;
    const double number = golden[name].item<double>();
    EXPECT_NEAR(value.item<double>(), number, 1e-4 * std::abs(number)) << name;
  }
  loss.sum.backward();
  testing::expect_gradients(network->parameters, golden, 1e-3);
  network->decoder->eval();
  EXPECT_LT(relative_error(network->objective->logits(*network->decoder, batch, {}), golden["logits"]), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(
    Regimes, EnergyGolden,
    ::testing::Values(Regime{"s1.safetensors", {.alpha = 3}},
                      Regime{"s2.safetensors",
                             {.steps = 3, .landscapes = 1, .alpha = 3, .alpha_learnable = false, .detach = false, .langevin = 0.5}}),
    [](const auto& tested) { return std::string(tested.param.file).substr(0, 2); });

}  // namespace
}  // namespace lacuna
