#include "trainer/model/byte_word.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/network.h"

namespace lacuna {
namespace {

using testing::relative_error;

constexpr int64_t kVocabulary = 258;  // bytes, the end of documents, a mask

ByteWordOptions small() {
  return {
      .num_layers = 2, .hidden_size = 32, .num_heads = 4, .feed_forward_size = 48, .character_layers = 2, .max_word_bytes = 15};
}

// Drawn so that every parameter matters.
struct Made {
  explicit Made(int64_t max_length, const ByteWordOptions& options = small(), Recompute recompute = Recompute::none) {
    network = std::make_unique<ByteWord>(options, ModelContext{.mesh = *mesh,
                                                               .parameters = table,
                                                               .vocabulary_size = kVocabulary,
                                                               .max_length = max_length,
                                                               .seed = 1,
                                                               .recompute = recompute});
    parameters = table.list(*network);
    auto drawn = parameters;
    for (auto& p : drawn) {
      if (p.initial == InitialValues::normal) p.deviation = 0.2;
    }
    initialize(drawn, 7, 0, 1);
    network->eval();
  }
  at::Tensor states(const at::Tensor& tokens) const {
    const torch::NoGradGuard no_grad;
    Batch batch;
    batch.tokens = tokens;
    return network->forward(batch).states;
  }
  std::unique_ptr<Mesh> mesh = make_self_mesh();
  ParameterTable table;
  std::vector<ParameterSpec> parameters;
  std::unique_ptr<ByteWord> network;
};

at::Tensor row(const std::string& text) {
  std::vector<int32_t> tokens;
  for (const char byte : text) tokens.push_back(static_cast<unsigned char>(byte));
  return at::tensor(tokens, at::kInt).unsqueeze(0);
}

const std::vector<std::string>& texts() {
  static const std::vector<std::string> all{
      "To be, or not to be:\nthat's the question",
      "caf\u00e9 na\u0308her \u4f60\u597d\u5417 \u3042\u3044 ok",            // marks, ideographs, kana
      "a \U0001f44d\U0001f44d\U0001f3fd \u2014 \u201cx\u201d y",             // emoji, dashes, quotes
      "one\r\n\r\ntwo\n\n\n\n\nthree\t\t\tfour ====== 1",                    // more words than slots
      std::string("\xff\xfe\x80 ab\xe4\xbd \xf0\x9f! \xc0\xc1 ok\0 x", 21),  // no UTF-8
      "withoutanyspacesforalongtimewithoutanyspaces",
  };
  return all;
}

TEST(ByteWord, AByteReachesExactlyThoseFromItselfOn) {
  // What opens words, what goes on with them, and what begins characters of several bytes.
  const auto others = at::tensor({'a', 'B', ' ', '\n', '.', 0xc3, 0xe2, 0xe4, 0xf0, 0x85, 256, 257}, at::kInt);
  for (const auto& text : texts()) {
    const auto tokens = row(text).repeat({others.size(0), 1});
    const int64_t length = tokens.size(1);
    const Made made(length);
    const auto base = made.states(tokens);
    for (int64_t k = 0; k < length; ++k) {
      auto changed = tokens.clone();
      changed.select(1, k).copy_(others);
      const auto differs = made.states(changed).ne(base).any(-1);  // (others, T)
      const auto expected = tokens.ne(changed).select(1, k).unsqueeze(1).logical_and(at::arange(length).ge(k).unsqueeze(0));
      ASSERT_TRUE(at::equal(differs, expected)) << "\"" << text << "\", changed at " << k;
    }
  }
}

// The loop over words that generation is: words close on the way, whatever is read at once.
TEST(ByteWord, GenerationEqualsTheWholePass) {
  const torch::NoGradGuard no_grad;
  for (const auto& text : texts()) {
    const auto tokens = at::cat({row(text), row(text).roll(7, 1)});
    const int64_t length = tokens.size(1);
    const Made made(length);
    const auto expected = made.network->head().logits(made.states(tokens));
    for (const int64_t prompt : {int64_t{1}, length / 2, length}) {
      const auto generation = made.network->generate(2);
      auto logits = generation->advance(tokens.narrow(1, 0, prompt).contiguous());
      for (int64_t t = prompt; t < length; ++t) {
        ASSERT_LT(relative_error(logits, expected.select(1, t - 1)), 1e-4) << text << " at " << t;
        ASSERT_EQ(generation->length(), t);
        logits = generation->advance(tokens.narrow(1, t, 1).contiguous());
      }
      EXPECT_LT(relative_error(logits, expected.select(1, length - 1)), 1e-4) << text;
      testing::expect_error(ExitCode::usage, "longer than the network's rows",
                            [&] { generation->advance(tokens.narrow(1, 0, 1)); });
    }
  }
}

TEST(ByteWord, AShorterRowIsTheBeginningOfALongerOne) {
  const auto tokens = row(texts()[0]);
  const Made made(tokens.size(1));
  EXPECT_LT(relative_error(made.states(tokens.narrow(1, 0, 13).contiguous()), made.states(tokens).narrow(1, 0, 13)), 1e-5);
}

// A word is read from the next one on: the first one's predictions are the start's and the decoder's alone.
TEST(ByteWord, AWordIsEncodedForThoseBehindIt) {
  const auto tokens = row("firstword second third");
  const Made made(tokens.size(1));
  const auto base = made.states(tokens);
  for (auto& p : made.parameters) {
    const torch::NoGradGuard no_grad;
    if (p.name.starts_with("encoder")) p.value.mul_(1.5);
  }
  const auto states = made.states(tokens);
  for (int64_t t = 0; t < tokens.size(1); ++t) EXPECT_EQ(at::equal(states[0][t], base[0][t]), t < 9) << t;
}

TEST(ByteWord, WordsMadeAheadAreThoseItWouldMake) {
  const auto tokens = row(texts()[1]);
  const Made made(tokens.size(1));
  Batch batch;
  batch.tokens = tokens;
  made.network->complete(batch);
  ASSERT_EQ(batch.words.sizes(), tokens.sizes());
  const torch::NoGradGuard no_grad;
  EXPECT_TRUE(at::equal(made.network->forward(batch).states, made.states(tokens)));
  batch.words = batch.words.clamp_max(1);
  EXPECT_FALSE(at::equal(made.network->forward(batch).states, made.states(tokens))) << "they are read";
}

// More words than slots, and endless ones: every position has its state, and every state is finite.
TEST(ByteWord, NoTextIsTooShortWordedOrTooLongWorded) {
  std::string noise;
  Random random(5, 0);
  while (noise.size() < 10000) noise.push_back(static_cast<char>(random.below(256)));
  auto options = small();
  options.character_layers = 1;
  const Made made(10000, options);
  for (const auto& text : {std::string(10000, 'x'), std::string(10000, '\n'), noise}) {
    const auto states = made.states(row(text));
    EXPECT_EQ(states.sizes(), (std::vector<int64_t>{1, 10000, made.network->hidden_size()}));
    EXPECT_TRUE(states.isfinite().all().item<bool>());
  }
  const auto ends = at::ones({1, 40}, at::kInt) * 256;  // documents without text
  EXPECT_TRUE(made.states(ends).isfinite().all().item<bool>());
}

Batch training_batch(const std::string& text) {
  Batch batch;
  batch.tokens = row(text + text).view({2, -1});
  batch.targets = batch.tokens.roll(-1, 1);
  batch.weights = at::ones(batch.tokens.sizes(), at::kFloat);
  batch.stream_positions = at::arange(30, 32, at::kLong);
  return batch;
}

std::vector<at::Tensor> gradients(Made& made, const Batch& batch) {
  made.network->train();
  made.network->head().loss(made.network->forward(batch).states, batch.targets, batch.weights).backward();
  std::vector<at::Tensor> all;
  for (auto& p : made.parameters) {
    EXPECT_TRUE(p.value.grad().defined()) << p.name;
    all.push_back(p.value.grad());
  }
  return all;
}

TEST(ByteWord, RecomputingChangesNothing) {
  auto options = small();
  options.dropout = 0.2;
  const auto batch = training_batch(texts()[0]);
  Made kept(batch.length(), options), again(batch.length(), options, Recompute::block);
  const auto expected = gradients(kept, batch), actual = gradients(again, batch);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(at::equal(actual[i], expected[i])) << kept.parameters[i].name;
  Made refused(batch.length(), options, Recompute::norms);
  testing::expect_error(ExitCode::usage, "use \"block\" or \"none\"", [&] { gradients(refused, batch); });
}

TEST(ByteWord, DropoutIsAFunctionOfTheRow) {
  const torch::NoGradGuard no_grad;
  auto options = small();
  options.dropout = 0.3;
  auto batch = training_batch(texts()[0]);
  const Made made(batch.length(), options);
  made.network->train();
  const auto base = made.network->forward(batch).states;
  EXPECT_TRUE(at::equal(made.network->forward(batch).states, base));
  EXPECT_FALSE(at::equal(base[0], base[1])) << "equal texts, other rows";
  batch.tokens = batch.tokens.narrow(0, 1, 1).contiguous();
  batch.stream_positions = batch.stream_positions.narrow(0, 1, 1);
  EXPECT_LT(relative_error(made.network->forward(batch).states[0], base[1]), 1e-6) << "as a micro-batch of its own";
}

// 6 for each weight and position: characters twice over bytes and slots, the backbone over slots, the head over bytes (the
// specification's 2 [N_enc (1 + 1/l) + N_dec (1 + 1/l) + N_backbone / l] a byte, forward).
TEST(ByteWord, CountsItsFlops) {
  const ByteWordOptions options{.num_layers = 6, .hidden_size = 384, .num_heads = 6, .feed_forward_size = 1024};
  constexpr int64_t length = 512;
  const auto mesh = make_self_mesh();
  ParameterTable table;
  const ByteWord network(options, {.mesh = *mesh, .parameters = table, .vocabulary_size = 257, .max_length = length, .seed = 1});
  const double c = 144, f = 384, characters = 2 * (4 * c * c + 3 * c * f), backbone = 6 * (4.0 * 384 * 384 + 3.0 * 384 * 1024);
  const double weights = 2 * characters * 1.25 + backbone / 4 + 2 * 384 * c / 4 + 384 * c;
  const double attention = 12 * (2 * c * 1.25 * (5 + 2.5) + 6 * 384.0 / 4 * 64);
  EXPECT_EQ(network.hidden_size(), 144);
  EXPECT_NEAR(network.flops_per_token(length), 6 * weights + attention, 1);
}

TEST(ByteWord, KeysThatDoNotGoTogetherSayWhy) {
  const auto check = [](const ByteWordOptions& options, int64_t ranks = 1) { ByteWord::check(options, Section(), ranks); };
  EXPECT_NO_THROW(check({}));
  EXPECT_NO_THROW(check(small(), 4));
  testing::expect_error(ExitCode::usage, "use at least 20", [&] { check({.bytes_per_word = 17, .max_word_bytes = 18}); });
  testing::expect_error(ExitCode::usage, "character_size", [&] { check({.character_size = 36}); });
  testing::expect_error(ExitCode::usage, "character_heads", [&] { check({.character_size = 24, .character_heads = 3}, 2); });
  testing::expect_error(ExitCode::usage, "num_heads", [&] { check({.hidden_size = 30, .num_heads = 4}); });
}

TEST(ByteWord, DocumentsAreNotKeptApart) {
  auto batch = training_batch(texts()[0]);
  batch.segments = at::ones(batch.tokens.sizes(), at::kInt);
  const Made made(batch.length());
  EXPECT_FALSE(made.network->offers().documents);
  testing::expect_error(ExitCode::usage, "set data.document_mask = false", [&] { made.network->forward(batch); });
}

}  // namespace
}  // namespace lacuna
