// byte_word split over the tensor axis against the whole network on one rank: states, loss, every gradient, and what it
// generates.
#include "trainer/model/byte_word.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include "tests/support/network.h"

namespace lacuna {
namespace {

using testing::relative_error;
using testing::slice_of;

constexpr int64_t kLength = 48;

struct Made {
  Made(Mesh& mesh, const ByteWordOptions& options) {
    network = std::make_unique<ByteWord>(
        options, ModelContext{.mesh = mesh, .parameters = table, .vocabulary_size = 257, .max_length = kLength, .seed = 3});
    parameters = table.list(*network);
    for (auto& p : parameters) p.deviation = 0.15;
    initialize(parameters, 3, mesh.tensor().rank(), mesh.tensor().size());
  }
  ParameterTable table;
  std::vector<ParameterSpec> parameters;
  std::unique_ptr<ByteWord> network;
};

TEST(ByteWordLayout, TheSplitNetworkIsTheWholeOne) {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const auto whole = make_self_mesh(), split = make_mpi_mesh(size);
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
    Made full(*whole, options), part(*split, options);
    full.network->train();
    part.network->train();
    const auto expected = full.network->forward(batch).states, actual = part.network->forward(batch).states;
    EXPECT_LT(relative_error(actual, expected), 1e-5);
    const auto loss = full.network->head().loss(expected, batch.targets, batch.weights);
    const auto other = part.network->head().loss(actual, batch.targets, batch.weights);
    EXPECT_NEAR(other.item<double>(), loss.item<double>(), 1e-5 * loss.item<double>());
    loss.backward();
    other.backward();
    ASSERT_EQ(full.parameters.size(), part.parameters.size());
    for (size_t i = 0; i < full.parameters.size(); ++i) {
      const auto& p = full.parameters[i];
      if (p.name.ends_with("key.bias")) continue;  // rounding alone: the softmax takes it out
      EXPECT_LT(relative_error(part.parameters[i].value.grad(), slice_of(p.value.grad(), p, split->tensor().rank(), size)), 1e-5)
          << p.name;
    }
    full.network->eval();
    part.network->eval();
    const auto one = full.network->generate(2)->advance(batch.tokens), many = part.network->generate(2)->advance(batch.tokens);
    EXPECT_LT(relative_error(many, one), 1e-5);
  }
}

}  // namespace
}  // namespace lacuna
