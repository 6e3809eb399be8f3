// byte_word split over the tensor axis against the whole network on one rank: states, loss, every gradient, and what it
// generates.
#include "trainer/model/byte_word.h"

#include <gtest/gtest.h>

#include "tests/support/split_network.h"

namespace lacuna {
namespace {

constexpr int64_t kLength = 48;

TEST(ByteWordLayout, TheSplitNetworkIsTheWholeOne) {
  ByteWordOptions plain{.num_layers = 2, .hidden_size = 32, .num_heads = 4, .feed_forward_size = 48}, biased = plain;
  biased.norm = NormKind::layer_norm;
  biased.activation = Activation::gelu;
  biased.bias = BiasKind::all;
  biased.tied_embedding = false;
  biased.dropout = 0.2;
  const std::string text = "Ay, there's the rub,\nfor in that sleep of death what dreams may come when we have shuffled off this";
  Batch batch = testing::random_batch(2, kLength, 257);
  for (int64_t i = 0; i < 2 * kLength; ++i)
    batch.tokens.data_ptr<int32_t>()[i] = static_cast<unsigned char>(text[static_cast<size_t>(i)]);
  for (const auto& options : {plain, biased}) {
    testing::expect_the_split_network_is_the_whole_one<ByteWord>(options, batch, 257, batch.tokens);
  }
}

}  // namespace
}  // namespace lacuna
