// A network that is split over the tensor axis of all ranks is the whole one: the same states, loss, gradients and continuations.
#pragma once
#include <gtest/gtest.h>

#include "tests/support/network.h"

namespace lacuna::testing {

// Drawn so that every parameter matters, on any mesh alike.
template <class A>
struct LargeValued {
  LargeValued(Mesh& mesh, const typename A::Options& options, int64_t vocabulary_size, int64_t length)
      : network(options,
                {.mesh = mesh, .parameters = table, .vocabulary_size = vocabulary_size, .max_length = length, .seed = 3}),
        parameters(table.list(network)) {
    for (auto& p : parameters) p.deviation = 0.15;
    initialize(parameters, 3, mesh.tensor().rank(), mesh.tensor().size());
  }
  ParameterTable table;
  A network;
  std::vector<ParameterSpec> parameters;
};

// Collective. Dropout included; `prompt` (B, n) is what both continue.
template <class A>
void expect_the_split_network_is_the_whole_one(const typename A::Options& options, const Batch& batch, int64_t vocabulary_size,
                                               const at::Tensor& prompt) {
  const auto whole = make_self_mesh();
  const int ranks = make_mpi_mesh(1)->world().size();
  const auto split = make_mpi_mesh(ranks);
  LargeValued<A> full(*whole, options, vocabulary_size, batch.length()), part(*split, options, vocabulary_size, batch.length());
  full.network.train();
  part.network.train();
  const auto expected = full.network.forward(batch).states, actual = part.network.forward(batch).states;
  EXPECT_LT(relative_error(actual, expected), 1e-5);
  const auto loss = full.network.head().loss(expected, batch.targets, batch.weights);
  const auto other = part.network.head().loss(actual, batch.targets, batch.weights);
  const auto sum = loss.template item<double>();
  EXPECT_NEAR(other.template item<double>(), sum, 1e-5 * sum);
  loss.backward();
  other.backward();
  ASSERT_EQ(full.parameters.size(), part.parameters.size());
  for (size_t i = 0; i < full.parameters.size(); ++i) {
    const auto& p = full.parameters[i];
    if (p.name.ends_with("key.bias")) continue;  // rounding alone: the softmax takes it out
    if (!p.value.grad().defined()) continue;     // read by a loss on the source alone
    EXPECT_LT(relative_error(part.parameters[i].value.grad(), slice_of(p.value.grad(), p, split->tensor().rank(), ranks)), 2e-5)
        << p.name;
  }
  full.network.eval();
  part.network.eval();
  EXPECT_LT(relative_error(part.network.generate(2)->advance(prompt), full.network.generate(2)->advance(prompt)), 1e-5);
  if constexpr (requires { full.network.source_attention(batch); }) {
    const auto one = full.network.source_attention(batch), many = part.network.source_attention(batch);
    ASSERT_EQ(one.size(), many.size());
    for (size_t i = 0; i < one.size(); ++i) EXPECT_LT(relative_error(many[i].mass, one[i].mass), 1e-5);
  }
}

}  // namespace lacuna::testing
