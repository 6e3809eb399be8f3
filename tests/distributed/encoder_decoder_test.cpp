// encoder_decoder and partial attention split over the tensor axis against the whole network on one rank: states, loss, every
// gradient, what they generate, and where attention falls.
#include "trainer/model/encoder_decoder.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include "tests/support/network.h"

namespace lacuna {
namespace {

using testing::relative_error;
using testing::slice_of;

constexpr int64_t kLength = 16, kSource = 6, kVocabulary = 61;

template <class A>
struct Made {
  Made(Mesh& mesh, const typename A::Options& options)
      : network(options, {.mesh = mesh, .parameters = table, .vocabulary_size = kVocabulary, .max_length = kLength, .seed = 3}),
        parameters(table.list(network)) {
    for (auto& p : parameters) p.deviation = 0.15;
    initialize(parameters, 3, mesh.tensor().rank(), mesh.tensor().size());
  }
  ParameterTable table;
  A network;
  std::vector<ParameterSpec> parameters;
};

template <class A>
void expect_the_split_network_is_the_whole_one(const typename A::Options& options, const Batch& batch, const at::Tensor& prompt) {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const auto whole = make_self_mesh(), split = make_mpi_mesh(size);
  Made<A> full(*whole, options), part(*split, options);
  full.network.train();
  part.network.train();
  const auto expected = full.network.forward(batch).states, actual = part.network.forward(batch).states;
  EXPECT_LT(relative_error(actual, expected), 1e-5);
  const auto loss = full.network.head().loss(expected, batch.targets, batch.weights);
  const auto other = part.network.head().loss(actual, batch.targets, batch.weights);
  EXPECT_NEAR(other.template item<double>(), loss.template item<double>(), 1e-5 * loss.template item<double>());
  loss.backward();
  other.backward();
  ASSERT_EQ(full.parameters.size(), part.parameters.size());
  for (size_t i = 0; i < full.parameters.size(); ++i) {
    const auto& p = full.parameters[i];
    if (p.name.ends_with("key.bias")) continue;  // rounding alone: the softmax takes it out
    if (!p.value.grad().defined()) continue;     // read by a loss on the source alone
    EXPECT_LT(relative_error(part.parameters[i].value.grad(), slice_of(p.value.grad(), p, split->tensor().rank(), size)), 2e-5)
        << p.name;
  }
  full.network.eval();
  part.network.eval();
  EXPECT_LT(relative_error(part.network.generate(2)->advance(prompt), full.network.generate(2)->advance(prompt)), 1e-5);
  const auto one = full.network.source_attention(batch), many = part.network.source_attention(batch);
  ASSERT_EQ(one.size(), many.size());
  for (size_t i = 0; i < one.size(); ++i) EXPECT_LT(relative_error(many[i].mass, one[i].mass), 1e-5);
}

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
    expect_the_split_network_is_the_whole_one<EncoderDecoder>(options, batch, batch.encoder_tokens);
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
  expect_the_split_network_is_the_whole_one<Decoder>(shape, batch, batch.tokens.narrow(1, 0, kSource));
}

}  // namespace
}  // namespace lacuna
