// The decoder and AdamW against plain PyTorch in double precision: see make_golden.py.
#include <gtest/gtest.h>

#include "tests/golden/compare.h"
#include "tests/support/update.h"
#include "trainer/model/flat_storage.h"
#include "trainer/optim/adamw.h"

namespace lacuna {
namespace {

using testing::GoldenFile;
using testing::relative_error;

constexpr int64_t kVocabulary = 61, kLength = 16;

// Whose gradient is zero but for rounding, which AdamW blows up to whole steps that change nothing else.
bool is_free(const std::string& name) { return name.ends_with("key.bias"); }

class DecoderGolden : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    network =
        testing::make_network(GetParam() == "gpt2" ? testing::gpt2_shape() : testing::llama_shape(), *mesh, kVocabulary, kLength);
    storage = std::make_unique<FlatStorage>(network->parameters, 1);
    testing::set_initial_values(network->parameters, golden);
    batch.tokens = golden["tokens"];
    batch.targets = golden["targets"];
    batch.weights = golden["weights"];
    batch.target_count = batch.weights.sum().item<double>();
  }

  at::Tensor summed_loss() {
    return network->decoder->head().loss(network->decoder->forward(batch).states, batch.targets, batch.weights);
  }

  GoldenFile golden{"tests/golden/" + GetParam() + ".safetensors"};
  std::unique_ptr<Mesh> mesh = make_self_mesh();
  std::unique_ptr<testing::Network> network;
  std::unique_ptr<FlatStorage> storage;
  Batch batch;
};

TEST_P(DecoderGolden, LogitsAndLoss) {
  const torch::NoGradGuard no_grad;
  const auto logits = network->decoder->head().logits(network->decoder->forward(batch).states);
  EXPECT_LT(relative_error(logits, golden["logits"]), 1e-5);
  const double loss = golden["loss"].item<double>();
  EXPECT_NEAR(summed_loss().item<double>(), loss, 1e-5 * loss);
}

TEST_P(DecoderGolden, EveryGradient) {
  summed_loss().backward();
  testing::expect_gradients(network->parameters, golden);
}

TEST_P(DecoderGolden, TenStepsOfAdamW) {
  AdamW optimizer({.learning_rate = 1e-2, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1, .clip_norm = 1.0},
                  *storage);
  const auto losses = golden["losses"], norms = golden["norms"];
  for (int64_t step = 1; step <= losses.numel(); ++step) {
    storage->zero_gradients();
    const auto sum = summed_loss();
    sum.backward();
    const auto [gradient, scale] =
        gradient_scale(squared_gradient_norm(*storage, *mesh), testing::number(batch.target_count), sum.detach(), 1.0);
    const double mean = sum.item<double>() / batch.target_count, norm = gradient.item<double>();
    const double expected = losses[step - 1].item<double>(), expected_norm = norms[step - 1].item<double>();
    EXPECT_NEAR(mean, expected, 1e-5 * expected) << "step " << step;
    EXPECT_NEAR(norm, expected_norm, 1e-5 * expected_norm) << "step " << step;
    optimizer.begin(step, optimizer.learning_rate());
    optimizer.update(scale);
  }
  for (const auto& p : network->parameters) {
    if (is_free(p.name)) continue;
    const auto expected = golden["trained/" + p.name];
    EXPECT_LT(relative_error(testing::real_rows(p.value, expected), expected), 1e-5) << p.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, DecoderGolden, ::testing::Values("gpt2", "llama"), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace lacuna
