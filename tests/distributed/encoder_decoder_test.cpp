// encoder_decoder and partial attention split over the tensor axis against the whole network on one rank: states, loss, every
// gradient, what they generate, and where attention falls.
#include "trainer/model/encoder_decoder.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "tests/support/split_network.h"

namespace lacuna {
namespace {

constexpr int64_t kLength = 16, kSource = 6, kVocabulary = 61;

TEST(EncoderDecoderLayout, TheSplitNetworkIsTheWholeOne) {
  EncoderDecoderOptions plain{.num_layers = 2, .hidden_size = 32, .num_heads = 4, .feed_forward_size = 48, .dropout = 0.2},
      red = plain;
  red.norm = NormKind::layer_norm;
  red.position = PositionKind::learned;
  red.bias = BiasKind::all;
  red.shared_sides = red.coordinated_layers = red.joint_softmax = red.consecutive_positions = red.causal_encoder = true;
  auto own = red;
  own.shared_sides = false;
  auto batch = testing::random_batch(2, kLength, kVocabulary);
  batch.encoder_tokens = testing::random_batch(2, kSource, kVocabulary, 2).tokens;
  for (const auto& options : {plain, red, own}) {
    testing::expect_the_split_network_is_the_whole_one<EncoderDecoder>(options, batch, kVocabulary, batch.encoder_tokens);
  }
}

TEST(PartialAttentionLayout, TheSplitNetworkIsTheWholeOne) {
  auto shape = testing::gpt2_shape();
  shape.visibility = Visibility::prefix;
  shape.partial_attention = shape.type_embedding = shape.separate_positions = true;
  shape.dropout = 0.2;
  auto batch = testing::random_batch(2, kLength, kVocabulary);
  batch.bidirectional = at::zeros({2, kLength}, at::kBool);
  batch.bidirectional.narrow(1, 0, kSource).fill_(true);
  testing::expect_the_split_network_is_the_whole_one<Decoder>(shape, batch, kVocabulary, batch.tokens.narrow(1, 0, kSource));
}

}  // namespace
}  // namespace lacuna
