// One network computed in several ways: of our own kernels, of ATen's operations alone, and with its blocks made twice.
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/network.h"

namespace lacuna {
namespace {

using testing::Execution;
using testing::expect_error;
using testing::make_network;
using testing::random_batch;
using testing::relative_error;

constexpr int64_t kVocabulary = 61, kLength = 10;

struct Result {
  double loss;
  std::vector<std::pair<std::string, at::Tensor>> gradients;
};

Result run(const DecoderOptions& options, Mesh& mesh, const Execution& execution, bool keep) {
  const auto batch = random_batch(3, kLength, kVocabulary);
  const auto network = make_network(options, mesh, kVocabulary, kLength, 7, execution);
  if (keep) network->keep_gradients();
  network->decoder->train();
  const auto loss = network->decoder->head().loss(network->decoder->forward(batch).states, batch.targets, batch.weights);
  loss.backward();
  Result result{loss.item<double>(), {}};
  for (const auto& p : network->parameters) result.gradients.emplace_back(p.name, p.value.grad());
  return result;
}

std::vector<DecoderOptions> shapes() {
  auto dropped = testing::gpt2_shape();
  dropped.dropout = 0.3;
  return {testing::gpt2_shape(), testing::llama_shape(), dropped};
}

TEST(Execution, TheReferenceIsTheSameNetwork) {
  const auto mesh = make_self_mesh();
  for (const auto& options : shapes()) {
    for (const bool keep : {false, true}) {
      const auto ours = run(options, *mesh, {}, keep),
                 reference = run(options, *mesh, {.operations = reference_operations()}, keep);
      EXPECT_NEAR(ours.loss, reference.loss, 1e-5 * reference.loss);
      for (size_t i = 0; i < ours.gradients.size(); ++i) {
        if (ours.gradients[i].first.ends_with("key.bias")) continue;  // rounding alone: the softmax takes it out
        EXPECT_LT(relative_error(ours.gradients[i].second, reference.gradients[i].second), 1e-5) << ours.gradients[i].first;
      }
    }
  }
}

TEST(Execution, BlocksMadeTwiceGiveTheSameBits) {
  const auto mesh = make_self_mesh();
  for (const auto& options : shapes()) {
    for (const auto* operations : {&kernel_operations(), &reference_operations()}) {
      const auto once = run(options, *mesh, {.operations = *operations}, true),
                 twice = run(options, *mesh, {.operations = *operations, .recompute = Recompute::block}, true);
      EXPECT_EQ(once.loss, twice.loss);
      for (size_t i = 0; i < once.gradients.size(); ++i) {
        EXPECT_TRUE(at::equal(once.gradients[i].second, twice.gradients[i].second)) << once.gradients[i].first;
      }
    }
  }
}

TEST(Execution, WhatCannotBeRecomputedIsRefused) {
  const auto mesh = make_self_mesh();
  expect_error(ExitCode::usage, "use \"block\" or \"none\"",
               [&] { run(testing::gpt2_shape(), *mesh, {.recompute = Recompute::norms}, true); });
  auto relative = testing::gpt2_shape();
  relative.position = PositionKind::relative;
  expect_error(ExitCode::usage, "position = \"relative\"", [&] { run(relative, *mesh, {.recompute = Recompute::block}, true); });
}

}  // namespace
}  // namespace lacuna
