#include "trainer/model/encoder_decoder.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/support/expect_error.h"

namespace lacuna {
namespace {

constexpr int64_t kVocabulary = 61, kMaxLength = 24;

struct Made {
  explicit Made(EncoderDecoderOptions options, int64_t max_length = kMaxLength) {
    options.hidden_size = 32;
    options.num_layers = 2;
    network = std::make_unique<EncoderDecoder>(
        options,
        ModelContext{.mesh = *mesh, .parameters = table, .vocabulary_size = kVocabulary, .max_length = max_length, .seed = 1});
    parameters = table.list(*network);
    auto drawn = parameters;
    for (auto& p : drawn) p.deviation = 0.15;
    initialize(drawn, 7, 0, 1);
    network->eval();
  }
  std::unique_ptr<Mesh> mesh = make_self_mesh();
  ParameterTable table;
  std::vector<ParameterSpec> parameters;
  std::unique_ptr<EncoderDecoder> network;
};

Batch batch(int64_t source, int64_t target) {
  Batch b;
  b.encoder_tokens = at::randint(kVocabulary, {2, source}, at::kInt);
  b.tokens = at::randint(kVocabulary, {2, target}, at::kInt);
  b.stream_positions = at::arange(2, at::kLong);
  return b;
}

at::Tensor with_other(const at::Tensor& tokens, int64_t t) {
  auto changed = tokens.clone();
  changed.select(1, t).copy_(tokens.select(1, t).add(1).remainder(kVocabulary));
  return changed;
}

// The regularised encoder-decoder.
EncoderDecoderOptions all_ties(PositionKind position) {
  EncoderDecoderOptions options{.position = position};
  options.shared_sides = options.coordinated_layers = options.joint_softmax = true;
  options.consecutive_positions = options.causal_encoder = true;
  return options;
}

std::vector<EncoderDecoderOptions> kinds() {
  EncoderDecoderOptions relative, learned{.position = PositionKind::learned};
  EncoderDecoderOptions centred{.num_kv_heads = 2, .position = PositionKind::rotary, .centred_encoder = true};
  EncoderDecoderOptions deep{.encoder_layers = 4, .decoder_layers = 1, .norm = NormKind::layer_norm, .bias = BiasKind::all};
  auto red = all_ties(PositionKind::rotary), own_sides = all_ties(PositionKind::learned), apart = own_sides, biased = red;
  red.num_kv_heads = 2;
  own_sides.shared_sides = false;
  apart.joint_softmax = false;
  biased.position = PositionKind::relative;
  biased.consecutive_positions = biased.causal_encoder = false;
  return {relative, learned, centred, deep, red, own_sides, apart, biased};
}

TEST(EncoderDecoder, EverySourceTokenReachesEveryTarget) {
  const torch::NoGradGuard no_grad;
  for (const auto& options : kinds()) {
    const Made made(options);
    const auto b = batch(9, 7);
    const auto base = made.network->forward(b).states;
    for (int64_t s = 0; s < 9; ++s) {
      auto changed = b;
      changed.encoder_tokens = with_other(b.encoder_tokens, s);
      const auto states = made.network->forward(changed).states;
      for (int64_t t = 0; t < 7; ++t) EXPECT_FALSE(at::equal(states.select(1, t), base.select(1, t))) << s << " to " << t;
    }
  }
}

TEST(EncoderDecoder, ATargetReachesThoseAfterItAlone) {
  const torch::NoGradGuard no_grad;
  for (const auto& options : kinds()) {
    const Made made(options);
    const auto b = batch(9, 7);
    const auto base = made.network->forward(b).states;
    for (int64_t k = 0; k < 7; ++k) {
      auto changed = b;
      changed.tokens = with_other(b.tokens, k);
      const auto states = made.network->forward(changed).states;
      for (int64_t t = 0; t < 7; ++t) EXPECT_EQ(at::equal(states.select(1, t), base.select(1, t)), t < k) << k << " to " << t;
    }
  }
}

// Two texts in one row, kept apart by segments, are what each is alone.
TEST(EncoderDecoder, SegmentsAreKeptApart) {
  const torch::NoGradGuard no_grad;
  auto joint = all_ties(PositionKind::rotary), untied = joint;
  untied.shared_sides = untied.coordinated_layers = untied.consecutive_positions = false;
  for (const auto& options :
       {EncoderDecoderOptions{.position = PositionKind::learned}, joint, all_ties(PositionKind::learned), untied}) {
    const Made made(options);
    const auto a = batch(5, 6), b = batch(4, 3);
    const auto joined = [](const at::Tensor& x, const at::Tensor& y) { return at::cat({x, y}, 1); };
    const auto marks = [](int64_t first, int64_t second) {
      return at::cat({at::ones({2, first}, at::kInt), at::full({2, second}, 2, at::kInt)}, 1);
    };
    const auto places = [](int64_t first, int64_t second) {
      return at::cat({at::arange(first, at::kInt), at::arange(second, at::kInt)}).expand({2, -1});
    };
    Batch both;
    both.encoder_tokens = joined(a.encoder_tokens, b.encoder_tokens);
    both.encoder_segments = marks(5, 4);
    both.encoder_positions = places(5, 4);
    both.tokens = joined(a.tokens, b.tokens);
    both.segments = marks(6, 3);
    both.positions = places(6, 3);
    both.stream_positions = a.stream_positions;
    const auto states = made.network->forward(both).states;
    const auto first = made.network->forward(a).states, second = made.network->forward(b).states;
    EXPECT_LT((states.narrow(1, 0, 6) - first).abs().max().item<double>(), 1e-5);
    EXPECT_LT((states.narrow(1, 6, 3) - second).abs().max().item<double>(), 1e-5);
  }
}

// Nothing of the source may be read: its row, or the target's, is padding.
TEST(EncoderDecoder, ARowOfPaddingIsFinite) {
  const torch::NoGradGuard no_grad;
  for (const auto& options : kinds()) {
    const Made made(options);
    auto b = batch(9, 7);
    b.encoder_segments = at::ones({2, 9}, at::kInt);
    b.segments = at::ones({2, 7}, at::kInt);
    b.encoder_segments[0].zero_();
    b.segments[1].zero_();
    const auto states = made.network->forward_both(b);
    EXPECT_TRUE(states.target.isfinite().all().item<bool>());
    EXPECT_TRUE(states.source.isfinite().all().item<bool>());
  }
}

// Weights that the encoder alone has are spoilt after the prompt; nothing looks at them again.
TEST(EncoderDecoder, GenerationReadsTheEncoderOnce) {
  const torch::NoGradGuard no_grad;
  for (const auto& options : kinds()) {
    if (options.shared_sides) continue;
    const Made made(options), spoilt(options);
    const auto b = batch(9, 2);
    const auto expected = made.network->generate(2), actual = spoilt.network->generate(2);
    expected->advance(b.encoder_tokens);
    actual->advance(b.encoder_tokens);
    for (const auto& p : spoilt.parameters) {
      if (p.name.starts_with("encoder")) p.value.fill_(std::numeric_limits<float>::quiet_NaN());
    }
    EXPECT_TRUE(at::equal(actual->advance(b.tokens.narrow(1, 1, 1)), expected->advance(b.tokens.narrow(1, 1, 1))));
  }
}

// Token by token with caches gives the logits of one pass; the encoder is read once.
TEST(EncoderDecoder, GenerationEqualsTheWholePass) {
  const torch::NoGradGuard no_grad;
  for (const auto& options : kinds()) {
    const Made made(options);
    auto b = batch(9, 6);
    b.tokens.select(1, 0).copy_(b.encoder_tokens.select(1, 8));  // it starts from the prompt's last token
    const auto expected = made.network->head().logits(made.network->forward(b).states);
    const auto generation = made.network->generate(2);
    auto logits = generation->advance(b.encoder_tokens);
    for (int64_t t = 0; t < 6; ++t) {
      EXPECT_LT((logits - expected.select(1, t)).abs().max().item<double>(), 1e-4) << t;
      if (t + 1 < 6) logits = generation->advance(b.tokens.narrow(1, t + 1, 1));
    }
    EXPECT_EQ(generation->length(), 9 + 5);
  }
}

// Wang et al. 2022: as many layers on both sides cost a decoder's layers twice, and a cross-attention in each of the decoder's.
TEST(EncoderDecoder, HasTheParametersOfItsParts) {
  const auto count = [](const std::vector<ParameterSpec>& parameters) {
    int64_t sum = 0;
    for (const auto& p : parameters) sum += p.value.numel();
    return sum;
  };
  EncoderDecoderOptions options{.feed_forward_size = 80, .position = PositionKind::none};
  const Made made(options);
  const int64_t d = 32, attention = 4 * d * d, feed_forward = 3 * d * 80, layers = 2;
  const int64_t norms = layers * 2 * d + layers * 3 * d + 2 * d;
  EXPECT_EQ(count(made.parameters), padded_vocabulary(kVocabulary) * d + layers * (attention + feed_forward) +
                                        layers * (2 * attention + feed_forward) + norms);
}

TEST(EncoderDecoder, CostsByTheLengthsOfItsSides) {
  EncoderDecoderOptions options{.num_kv_heads = 2, .feed_forward_size = 80, .position = PositionKind::none};
  const Made made(options);
  const auto& network = *made.network;
  EXPECT_DOUBLE_EQ(network.flops_of_row(24, 24), 24 * network.flops_per_token(24));
  for (const auto& kind : kinds()) {
    const Made other(kind);
    EXPECT_DOUBLE_EQ(other.network->flops_of_row(24, 24), 24 * other.network->flops_per_token(24));
  }
  const double d = 32, kv = 16, head = static_cast<double>(padded_vocabulary(kVocabulary)) * d, layers = 2;
  // A target more: a position of the decoder and of the head, one query more to the source, and to the targets up to itself.
  const double position = 6 * (layers * (2 * (2 * d * d) + 2 * d * kv + 3 * d * 80) + head);
  const double pairs = 12 * d * layers * (24 + 0.5 * (11 * 11 - 10 * 10));
  EXPECT_DOUBLE_EQ(network.flops_of_row(24, 11) - network.flops_of_row(24, 10), position + pairs);
}

TEST(EncoderDecoder, KeysThatDoNotGoTogetherSayWhy) {
  const auto check = [](const EncoderDecoderOptions& options) { EncoderDecoder::check(options, Section(), 1); };
  testing::expect_error(ExitCode::usage, "position = \"rotary\"", [&] { check({.centred_encoder = true}); });
  testing::expect_error(ExitCode::usage, "tied_embedding = true", [&] { check({.tied_embedding = false, .scaled_logits = true}); });
  testing::expect_error(ExitCode::usage, "num_heads", [&] { check({.hidden_size = 30, .num_heads = 4}); });
  for (const auto tie : {&EncoderDecoderOptions::shared_sides, &EncoderDecoderOptions::coordinated_layers}) {
    EncoderDecoderOptions uneven{.encoder_layers = 4, .decoder_layers = 2};
    uneven.*tie = true;
    testing::expect_error(ExitCode::usage, "encoder_layers = 4 must equal decoder_layers = 2", [&] { check(uneven); });
  }
  auto red = all_ties(PositionKind::relative);
  testing::expect_error(ExitCode::usage, "learned and rotary", [&] { check(red); });
  red.position = PositionKind::rotary;
  red.joint_softmax = false;
  testing::expect_error(ExitCode::usage, "set joint_softmax = true", [&] { check(red); });
  red.joint_softmax = red.centred_encoder = true;
  testing::expect_error(ExitCode::usage, "which centred_encoder moves", [&] { check(red); });
}

}  // namespace
}  // namespace lacuna
