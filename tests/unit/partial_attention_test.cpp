#include "trainer/model/partial_attention.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/network.h"

namespace lacuna {
namespace {

using testing::make_network;

constexpr int64_t kVocabulary = 61, kLength = 16, kSource = 6;

DecoderOptions palm(DecoderOptions shape = testing::gpt2_shape()) {
  shape.visibility = Visibility::prefix;
  shape.partial_attention = shape.type_embedding = shape.separate_positions = true;
  return shape;
}

Batch rows(int64_t length = kLength) {
  auto batch = testing::random_batch(2, length, kVocabulary);
  batch.bidirectional = at::zeros({2, length}, at::kBool);
  batch.bidirectional.narrow(1, 0, kSource).fill_(true);
  return batch;
}

at::Tensor logits_of(const testing::Network& n, const Batch& batch) {
  return n.decoder->head().logits(n.decoder->forward(batch).states);
}

TEST(PartialAttention, GenerationEqualsTheWholePass) {
  const torch::NoGradGuard no_grad;
  const auto mesh = make_self_mesh();
  for (const auto& shape : {palm(), palm(testing::llama_shape())}) {
    const auto network = make_network(shape, *mesh, kVocabulary, kLength);
    network->decoder->eval();
    const auto batch = rows();
    const auto expected = logits_of(*network, batch);
    const auto generation = network->decoder->generate(2);
    auto logits = generation->advance(batch.tokens.narrow(1, 0, kSource));
    for (int64_t t = kSource - 1;; ++t) {
      EXPECT_LT((logits - expected.select(1, t)).abs().max().item<double>(), 1e-4) << t;
      if (t + 1 == kLength) break;
      logits = generation->advance(batch.tokens.narrow(1, t + 1, 1));
    }
  }
}

TEST(PartialAttention, TargetsCountFromZeroAgain) {
  const torch::NoGradGuard no_grad;
  const auto mesh = make_self_mesh();
  auto shape = palm(), plain = shape;
  plain.separate_positions = false;
  const auto separate = make_network(shape, *mesh, kVocabulary, kLength), told = make_network(plain, *mesh, kVocabulary, kLength);
  const auto batch = rows();
  auto counted = batch;
  counted.positions =
      at::cat({at::arange(kSource, at::kInt), at::arange(kLength - kSource, at::kInt)}).expand({2, -1}).contiguous();
  EXPECT_TRUE(at::equal(logits_of(*separate, batch), logits_of(*told, counted)));
  EXPECT_FALSE(at::equal(logits_of(*separate, batch), logits_of(*told, batch)));
}

TEST(PartialAttention, TheTypeTellsSourceFromTargets) {
  const torch::NoGradGuard no_grad;
  const auto mesh = make_self_mesh();
  auto shape = testing::gpt2_shape();
  shape.visibility = Visibility::prefix;
  shape.type_embedding = true;
  const auto network = make_network(shape, *mesh, kVocabulary, kLength);
  const auto before = logits_of(*network, rows());
  (*network)["type"][0].zero_();
  const auto after = logits_of(*network, rows());
  EXPECT_TRUE(at::equal(before.narrow(1, 0, kSource), after.narrow(1, 0, kSource)));
  for (int64_t t = kSource; t < kLength; ++t) EXPECT_FALSE(at::equal(before.select(1, t), after.select(1, t))) << t;
}

// Two texts in one row, of which the second has no source, are what each is alone.
TEST(PartialAttention, SegmentsAreKeptApart) {
  const torch::NoGradGuard no_grad;
  const auto mesh = make_self_mesh();
  const auto network = make_network(palm(), *mesh, kVocabulary, 2 * kLength);
  const auto first = rows();
  auto second = testing::random_batch(2, kLength, kVocabulary, 2);
  second.bidirectional = at::zeros({2, kLength}, at::kBool);
  Batch both;
  both.tokens = at::cat({first.tokens, second.tokens}, 1);
  both.bidirectional = at::cat({first.bidirectional, second.bidirectional}, 1);
  both.segments = at::cat({at::ones({2, kLength}, at::kInt), at::full({2, kLength}, 2, at::kInt)}, 1);
  both.positions = at::arange(kLength, at::kInt).repeat({2, 2});
  const auto logits = logits_of(*network, both);
  EXPECT_LT((logits.narrow(1, 0, kLength) - logits_of(*network, first)).abs().max().item<double>(), 1e-5);
  EXPECT_LT((logits.narrow(1, kLength, kLength) - logits_of(*network, second)).abs().max().item<double>(), 1e-5);
}

TEST(PartialAttention, BackwardMayMakeABlockAgain) {
  const auto mesh = make_self_mesh();
  const auto kept = make_network(palm(), *mesh, kVocabulary, kLength);
  const auto made_again = make_network(palm(), *mesh, kVocabulary, kLength, 7, {.recompute = Recompute::block});
  const auto batch = rows();
  for (const auto* network : {&kept, &made_again}) {
    (*network)->decoder->train();
    (*network)->keep_gradients();
    (*network)->decoder->head().loss((*network)->decoder->forward(batch).states, batch.targets, batch.weights).backward();
  }
  for (const auto& p : kept->parameters) EXPECT_TRUE(at::equal(p.value.grad(), (*made_again)[p.name].grad())) << p.name;
}

TEST(PartialAttention, RunsComposedAndSaysSo) {
  const auto mesh = make_self_mesh();
  for (const auto& [key, words] : {std::pair(&DecoderOptions::partial_attention, "partial attention"),
                                   {&DecoderOptions::type_embedding, "a type embedding"},
                                   {&DecoderOptions::separate_positions, "separate positions"}}) {
    auto shape = testing::gpt2_shape();
    shape.visibility = Visibility::prefix;
    shape.*key = true;
    const auto network = make_network(shape, *mesh, kVocabulary, kLength, 7, {.fused = true});
    EXPECT_EQ(network->decoder->backends(2, kLength, false).not_fused, words);
    shape.visibility = Visibility::causal;
    testing::expect_error(ExitCode::usage, "visibility = \"prefix\"", [&] { Decoder::check(shape, Section(), 1); });
  }
  auto relative = palm();
  relative.position = PositionKind::relative;
  testing::expect_error(ExitCode::usage, "learned and rotary", [&] { Decoder::check(relative, Section(), 1); });
}

}  // namespace
}  // namespace lacuna
