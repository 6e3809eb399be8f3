// The regularised encoder-decoder: with all ties it is a causal language model over [source; targets].
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randint.h>
#include <gtest/gtest.h>

#include "objectives/prefix_language.h"
#include "objectives/source_loss.h"
#include "objectives/span_corruption.h"
#include "tests/support/expect_error.h"
#include "tests/support/network.h"
#include "tests/support/rows.h"
#include "trainer/model/encoder_decoder.h"

namespace lacuna {
namespace {

constexpr int64_t kVocabulary = 61, kMaxLength = 24, kSource = 9, kTargets = 7;

EncoderDecoderOptions all_ties(const DecoderOptions& like) {
  return {.num_layers = like.num_layers,
          .hidden_size = like.hidden_size,
          .num_heads = like.num_heads,
          .num_kv_heads = like.num_kv_heads,
          .feed_forward_size = like.feed_forward_size,
          .norm = like.norm,
          .norm_epsilon = like.norm_epsilon,
          .position = like.position,
          .activation = like.activation,
          .bias = like.bias,
          .tied_embedding = like.tied_embedding,
          .shared_sides = true,
          .coordinated_layers = true,
          .joint_softmax = true,
          .consecutive_positions = true,
          .causal_encoder = true};
}

struct Red {
  explicit Red(const EncoderDecoderOptions& options)
      : network(options,
                {.mesh = *mesh, .parameters = table, .vocabulary_size = kVocabulary, .max_length = kMaxLength, .seed = 1}),
        parameters(table.list(network)) {
    auto drawn = parameters;
    for (auto& p : drawn) p.deviation = 0.15;
    initialize(drawn, 7, 0, 1);
    network.eval();
  }
  std::unique_ptr<Mesh> mesh = make_self_mesh();
  ParameterTable table;
  EncoderDecoder network;
  std::vector<ParameterSpec> parameters;
};

// What a decoder calls the parameter.
std::string in_decoder(const std::string& name) {
  if (name == "encoder_position") return "position";
  if (name.starts_with("encoder_norm")) return "final_norm" + name.substr(12);
  return name.starts_with("encoder") ? "block" + name.substr(7) : name;
}

Batch batch() {
  Batch b;
  b.encoder_tokens = at::randint(kVocabulary, {2, kSource}, at::kInt);
  b.tokens = at::randint(kVocabulary, {2, kTargets}, at::kInt);
  b.stream_positions = at::arange(2, at::kLong);
  return b;
}

TEST(Red, WithAllTiesIsTheCausalDecoder) {
  const torch::NoGradGuard no_grad;
  const auto mesh = make_self_mesh();
  for (const auto& shape : {testing::gpt2_shape(), testing::llama_shape()}) {
    const auto decoder = testing::make_network(shape, *mesh, kVocabulary, 2 * kMaxLength);
    Red red(all_ties(shape));
    ASSERT_EQ(red.parameters.size(), decoder->parameters.size());
    for (const auto& p : red.parameters) p.value.copy_((*decoder)[in_decoder(p.name)]);
    const auto b = batch();
    Batch joined;
    joined.tokens = at::cat({b.encoder_tokens, b.tokens}, 1);
    decoder->decoder->eval();
    const auto expected = decoder->decoder->head().logits(decoder->decoder->forward(joined).states);
    const auto states = red.network.forward_both(b);
    const auto actual = at::cat({red.network.head().logits(states.source), red.network.head().logits(states.target)}, 1);
    EXPECT_LT((actual - expected).abs().max().item<double>(), 1e-5);
    EXPECT_TRUE(at::equal(red.network.forward(b).states, states.target));
  }
}

TEST(Red, EachTieChangesSomething) {
  const torch::NoGradGuard no_grad;
  const auto tied = all_ties(testing::gpt2_shape());
  const auto b = batch();
  const auto base = Red(tied).network.forward(b).states;
  for (const auto tie :
       {&EncoderDecoderOptions::shared_sides, &EncoderDecoderOptions::coordinated_layers, &EncoderDecoderOptions::joint_softmax,
        &EncoderDecoderOptions::consecutive_positions, &EncoderDecoderOptions::causal_encoder}) {
    auto without = tied;
    without.*tie = false;
    EXPECT_GT((Red(without).network.forward(b).states - base).abs().max().item<double>(), 1e-2);
  }
}

// The gradient is that of a language model that predicts the source too; what is told is the targets' loss alone.
TEST(Red, TheSourceLossIsInTheGradientAlone) {
  const auto rows = testing::counting_samples(2, 2 * 16 + 2, 60);
  const RowContext context{.length = 16, .tokenizer_size = kVocabulary, .end_token = 60, .encoder = true};
  const auto options = all_ties(testing::llama_shape());
  const auto gradient = [&](double weight, double* told, double* source) {
    Red red(options);
    PrefixLanguage objective({.source_loss = weight}, context);
    const auto b = objective.prepare(rows, Random(1, 1));
    const auto loss = objective.loss(red.network, b);
    loss.sum.backward();
    *told = loss.sum.item<double>();
    if (!loss.metrics.empty()) *source = loss.metrics.front().second.item<double>() / b.target_count;
    return red.parameters.front().value.grad().clone();
  };
  double none = 0, one = 0, two = 0, source = 0, twice = 0;
  const auto without = gradient(0, &none, &source), single = gradient(1, &one, &source), twofold = gradient(2, &two, &twice);
  EXPECT_FLOAT_EQ(none, one);
  EXPECT_FLOAT_EQ(none, two);
  EXPECT_GT(source, 1);  // a mean over source tokens, of a network that knows nothing
  EXPECT_FLOAT_EQ(source, twice);
  EXPECT_GT((single - without).abs().max().item<double>(), 1e-3);
  EXPECT_LT(testing::relative_error(twofold - without, 2 * (single - without)), 1e-4);
}

TEST(Red, ALossOnTheSourceIsRefusedWhereItSaysNothing) {
  const auto options = all_ties(testing::llama_shape());
  auto seeing = options, unread = options;
  seeing.causal_encoder = false;
  unread.shared_sides = false;
  EXPECT_NO_THROW(check_source_loss(1, Red(options).network));
  EXPECT_NO_THROW(check_source_loss(0, Red(options).network));
  EXPECT_NO_THROW(check_source_loss(1, Red(unread).network));
  const auto refused = [](double weight, const EncoderDecoderOptions& o, const std::string& mend) {
    testing::expect_error(ExitCode::usage, mend, [&] { check_source_loss(weight, Red(o).network); });
  };
  refused(1, seeing, "architecture.causal_encoder = true");
  refused(0, unread, "architecture.shared_sides = true");
  const auto mesh = make_self_mesh();
  const auto decoder = testing::make_network(testing::llama_shape(), *mesh, kVocabulary, kMaxLength);
  testing::expect_error(ExitCode::usage, "networks with an encoder", [&] { check_source_loss(1, *decoder->decoder); });
}

}  // namespace
}  // namespace lacuna
