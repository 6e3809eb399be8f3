// byte_word against plain PyTorch in double precision, word by word, with words cut by hand: see make_byte_word.py.
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "tests/golden/compare.h"
#include "trainer/model/byte_word.h"

namespace lacuna {
namespace {

using testing::GoldenFile;
using testing::relative_error;

constexpr int64_t kVocabulary = 257, kLength = 32;

class ByteWordGolden : public ::testing::Test {
 protected:
  ByteWordGolden()
      : network({.num_layers = 2,
                 .hidden_size = 32,
                 .num_heads = 2,
                 .feed_forward_size = 48,
                 .character_layers = 1,
                 .character_size = 16,
                 .character_heads = 2,
                 .character_feed_forward_size = 24,
                 .bytes_per_word = 2,
                 .max_word_bytes = 15},
                {.mesh = *mesh, .parameters = table, .vocabulary_size = kVocabulary, .max_length = kLength, .seed = 1}),
        parameters(table.list(network)) {
    testing::set_initial_values(parameters, golden);
    batch.tokens = golden["tokens"];
    batch.targets = golden["targets"];
    batch.weights = golden["weights"];
  }

  GoldenFile golden{"tests/golden/byte_word.safetensors"};
  std::unique_ptr<Mesh> mesh = make_self_mesh();
  ParameterTable table;
  ByteWord network;
  std::vector<ParameterSpec> parameters;
  Batch batch;
};

TEST_F(ByteWordGolden, CutsTheSameWords) {
  network.complete(batch);
  EXPECT_TRUE(at::equal(batch.words, golden["words"])) << batch.words << golden["words"];
}

TEST_F(ByteWordGolden, LogitsLossAndEveryGradient) {
  const auto states = network.forward(batch).states;
  EXPECT_LT(relative_error(network.head().logits(states), golden["logits"]), 1e-5);
  const auto loss = network.head().loss(states, batch.targets, batch.weights);
  const double expected = golden["loss"].item<double>();
  EXPECT_NEAR(loss.item<double>(), expected, 1e-5 * expected);
  loss.backward();
  testing::expect_gradients(parameters, golden);
}

}  // namespace
}  // namespace lacuna
