// encoder_decoder in T5's shape against plain PyTorch in double precision, query by query: see make_encoder_decoder.py.
#include <gtest/gtest.h>

#include "tests/golden/compare.h"
#include "trainer/model/encoder_decoder.h"

namespace lacuna {
namespace {

using testing::GoldenFile;
using testing::relative_error;

class EncoderDecoderGolden : public ::testing::Test {
 protected:
  EncoderDecoderGolden()
      : network({.encoder_layers = 2,
                 .decoder_layers = 3,
                 .hidden_size = 32,
                 .num_heads = 4,
                 .num_kv_heads = 2,
                 .feed_forward_size = 40,
                 .scaled_logits = true},
                {.mesh = *mesh, .parameters = table, .vocabulary_size = 61, .max_length = 20, .seed = 1}),
        parameters(table.list(network)) {
    testing::set_initial_values(parameters, golden);
    for (const auto& [field, name] : {std::pair(&Batch::tokens, "tokens"),
                                      {&Batch::targets, "targets"},
                                      {&Batch::weights, "weights"},
                                      {&Batch::segments, "segments"},
                                      {&Batch::encoder_tokens, "encoder_tokens"},
                                      {&Batch::encoder_segments, "encoder_segments"}}) {
      batch.*field = golden[name];
    }
  }

  GoldenFile golden{"tests/golden/encoder_decoder.safetensors"};
  std::unique_ptr<Mesh> mesh = make_self_mesh();
  ParameterTable table;
  EncoderDecoder network;
  std::vector<ParameterSpec> parameters;
  Batch batch;
};

TEST_F(EncoderDecoderGolden, LogitsLossAndEveryGradient) {
  const auto states = network.forward(batch).states;
  const auto real = batch.segments.ne(0).unsqueeze(-1);
  EXPECT_LT(relative_error(network.head().logits(states) * real, golden["logits"]), 1e-5);
  const auto loss = network.head().loss(states, batch.targets, batch.weights);
  const double expected = golden["loss"].item<double>();
  EXPECT_NEAR(loss.item<double>(), expected, 1e-5 * expected);
  loss.backward();
  testing::expect_gradients(parameters, golden);
}

}  // namespace
}  // namespace lacuna
