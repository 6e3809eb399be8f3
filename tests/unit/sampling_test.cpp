// Which token is said next, and how a text goes on beyond the network's rows.
#include "trainer/evaluate/sampling.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/network.h"

namespace lacuna {
namespace {

// How often each of the tokens comes in `count` draws.
std::vector<int> draw(const std::vector<float>& logits, const SamplingOptions& options, int count, uint64_t seed = 1) {
  Random random(seed, 0);
  std::vector<int> times(logits.size());
  for (int i = 0; i < count; ++i) ++times[static_cast<size_t>(sample_token(at::tensor(logits), options, random))];
  return times;
}

// Each frequency within five standard deviations of its probability.
void expect_frequencies(const std::vector<int>& times, const std::vector<double>& probabilities, int count) {
  for (size_t i = 0; i < times.size(); ++i) {
    const double p = probabilities[i], bound = 5 * std::sqrt(count * p * (1 - p));
    EXPECT_NEAR(times[i], count * p, bound) << "token " << i;
  }
}

std::vector<double> softmax(const std::vector<float>& logits, double temperature) {
  std::vector<double> p;
  double sum = 0;
  for (const float z : logits) sum += p.emplace_back(std::exp(z / temperature));
  for (auto& x : p) x /= sum;
  return p;
}

const std::vector<float> kLogits{0.5f, 2.0f, -1.0f, 1.0f, 2.0f};
constexpr int kDraws = 20000;

TEST(SampleTokenTest, GreedyTakesTheHighestAndOfTiesTheSmallerId) {
  EXPECT_EQ(draw(kLogits, {.temperature = 0}, 10), (std::vector<int>{0, 10, 0, 0, 0}));
}

TEST(SampleTokenTest, FollowsTheDistribution) { expect_frequencies(draw(kLogits, {}, kDraws), softmax(kLogits, 1), kDraws); }

TEST(SampleTokenTest, TemperatureSharpensAndFlattens) {
  for (const double temperature : {0.5, 2.0}) {
    expect_frequencies(draw(kLogits, {.temperature = temperature}, kDraws), softmax(kLogits, temperature), kDraws);
  }
}

TEST(SampleTokenTest, TopKKeepsTheKLikeliestAndOfTiesTheSmallerId) {
  EXPECT_EQ(draw(kLogits, {.top_k = 1}, 10), (std::vector<int>{0, 10, 0, 0, 0}));
  expect_frequencies(draw(kLogits, {.top_k = 2}, kDraws), {0, 0.5, 0, 0, 0.5}, kDraws);
  expect_frequencies(draw(kLogits, {.top_k = 99}, kDraws), softmax(kLogits, 1), kDraws);
}

TEST(SampleTokenTest, TopPKeepsTheSmallestSetThatReachesTheMass) {
  const std::vector<float> logits{std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  EXPECT_EQ(draw(logits, {.top_p = 0.01}, 10), (std::vector<int>{10, 0, 0, 0})) << "the likeliest is always kept";
  EXPECT_EQ(draw(logits, {.top_p = 0.45}, 10), (std::vector<int>{10, 0, 0, 0}));
  expect_frequencies(draw(logits, {.top_p = 0.7}, kDraws), {0.625, 0.375, 0, 0}, kDraws);
  expect_frequencies(draw(logits, {.top_p = 1}, kDraws), {0.5, 0.3, 0.15, 0.05}, kDraws);
}

TEST(SampleTokenTest, TopPCountsTheMassOfWhatTopKKept) {
  const std::vector<float> logits{std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  EXPECT_EQ(draw(logits, {.top_k = 2, .top_p = 0.6}, 10), (std::vector<int>{10, 0, 0, 0})) << "0.625 of the two";
}

TEST(SampleTokenTest, LargeLogitsDoNotOverflow) { EXPECT_EQ(draw({3e4f, -3e4f, 2.9e4f}, {}, 10), (std::vector<int>{10, 0, 0})); }

// Counts: what follows token t is (t + 1) % 10. Notes how many tokens each reading took.
class Counter : public Architecture {
 public:
  static constexpr int64_t kContext = 8;

  class Counting : public Generation {
   public:
    explicit Counting(std::vector<int64_t>& readings) : readings_(readings) {}
    at::Tensor advance(const at::Tensor& tokens) override {
      readings_.push_back(tokens.size(1));
      length_ += tokens.size(1);
      EXPECT_LE(length_, kContext);
      auto logits = at::zeros({1, 12});
      logits[0][(tokens[0][-1].item<int64_t>() + 1) % 10].fill_(50);
      logits[0][11].fill_(90);  // a special token of an objective, beyond the tokenizer's ids
      return logits;
    }
    int64_t length() const override { return length_; }

   private:
    std::vector<int64_t>& readings_;
    int64_t length_ = 0;
  };

  Offers offers() const override { return {.generates = true}; }
  Hidden forward(const Batch&) override { throw std::logic_error("not built for training"); }
  Head& head() override { throw std::logic_error("not built for training"); }
  int64_t hidden_size() const override { return 1; }
  at::Tensor embed(const at::Tensor&) const override { throw std::logic_error("not built for training"); }
  ModelWork work(int64_t, int64_t, int64_t) const override { return {}; }
  std::unique_ptr<Generation> generate(int64_t) override { return std::make_unique<Counting>(readings); }

  std::vector<int64_t> readings;
};

class ContinueTextTest : public ::testing::Test {
 protected:
  std::vector<int32_t> go_on(const std::vector<int32_t>& prompt, int64_t max_tokens, int32_t end_token = 10) {
    const ContinueOptions options{
        .max_tokens = max_tokens, .context = Counter::kContext, .vocabulary_size = 11, .end_token = end_token};
    return continue_text([this](int64_t rows) { return counter.generate(rows); }, mesh->world(), prompt, options, {}, 1);
  }
  Counter counter;
  std::unique_ptr<Mesh> mesh = make_self_mesh();
};

TEST_F(ContinueTextTest, ReadsThePromptOnceAndThenTokenByToken) {
  EXPECT_EQ(go_on({1, 2, 3}, 4), (std::vector<int32_t>{4, 5, 6, 7}));
  EXPECT_EQ(counter.readings, (std::vector<int64_t>{3, 1, 1, 1}));
}

TEST_F(ContinueTextTest, BeyondTheContextTheOlderHalfIsForgotten) {
  EXPECT_EQ(go_on({1, 2, 3, 4, 5, 6}, 9), (std::vector<int32_t>{7, 8, 9, 0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(counter.readings, (std::vector<int64_t>{6, 1, 1, 4, 1, 1, 1, 1, 4}));
}

TEST_F(ContinueTextTest, OfALongPromptTheEndIsRead) {
  EXPECT_EQ(go_on({9, 9, 9, 9, 1, 2, 3, 4, 5, 6}, 2), (std::vector<int32_t>{7, 8}));
  EXPECT_EQ(counter.readings, (std::vector<int64_t>{8, 4}));
}

TEST_F(ContinueTextTest, TheEndTokenEndsTheTextAndIsNotReturned) {
  EXPECT_EQ(go_on({1}, 50, 5), (std::vector<int32_t>{2, 3, 4}));
  EXPECT_EQ(go_on({1}, 0), std::vector<int32_t>{});
}

TEST(ContinueTextOfADecoderTest, TheSeedAloneDecides) {
  const auto mesh = make_self_mesh();
  const auto network = testing::make_network(testing::gpt2_shape(), *mesh, 61, 16);
  network->decoder->eval();
  const ContinueOptions options{.max_tokens = 40, .context = 16, .vocabulary_size = 61, .end_token = -1};
  const auto text = [&](uint64_t seed) {
    return continue_text([&](int64_t rows) { return network->decoder->generate(rows); }, mesh->world(), {1, 2, 3}, options, {}, seed);
  };
  const auto first = text(1);
  EXPECT_EQ(first.size(), 40u) << "well beyond the rows of 16";
  EXPECT_EQ(text(1), first);
  EXPECT_NE(text(2), first);
}

}  // namespace
}  // namespace lacuna
