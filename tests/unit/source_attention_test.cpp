#include "trainer/evaluate/source_attention.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "tests/support/judged_network.h"
#include "tests/support/network.h"
#include "trainer/model/encoder_decoder.h"

namespace lacuna {
namespace {

using namespace testing;

constexpr int64_t kLength = 48, kSource = 6;

// lambda_t = Z_source / (Z_source + Z_targets): near |S| / (|S| + t) where scores are small, and falling.
TEST(SourceAttention, FallsAsTargetsOfAPlainLanguageModelGrowMany) {
  const auto mesh = make_self_mesh();
  const auto network = make_network(llama_shape(), *mesh, 61, kLength);
  auto batch = random_batch(16, kLength, 61);
  batch.bidirectional = at::zeros({16, kLength}, at::kBool);
  batch.bidirectional.narrow(1, 0, kSource).fill_(true);
  const auto masses = network->decoder->source_attention(batch);
  ASSERT_EQ(masses.size(), 1u);
  EXPECT_EQ(masses[0].mass.sizes(), (std::vector<int64_t>{2, 16, kLength}));
  const auto mass = masses[0].mass.mean(at::IntArrayRef{0, 1});
  EXPECT_NEAR(mass[kSource - 1].item<double>(), 1, 1e-6);  // it sees nothing else
  for (int64_t t = 2; t + kSource <= kLength; t *= 2) {
    const auto before = mass[kSource + t / 2 - 1].item<double>(), now = mass[kSource + t - 1].item<double>();
    EXPECT_LT(now, before) << t;
    EXPECT_NEAR(now, static_cast<double>(kSource) / static_cast<double>(kSource + t), 0.1) << t;
  }
}

TEST(SourceAttention, OfPartialAttentionIsOne) {
  const auto mesh = make_self_mesh();
  auto shape = llama_shape();
  shape.visibility = Visibility::prefix;
  shape.partial_attention = true;
  const auto network = make_network(shape, *mesh, 61, kLength);
  auto batch = random_batch(4, kLength, 61);
  batch.bidirectional = at::zeros({4, kLength}, at::kBool);
  batch.bidirectional.narrow(1, 0, kSource).fill_(true);
  const auto masses = network->decoder->source_attention(batch);
  ASSERT_EQ(masses.size(), 2u);
  EXPECT_EQ(masses[1].attention, "source");
  EXPECT_LT((masses[1].mass - 1).abs().max().item<double>(), 1e-6);
  EXPECT_LT(masses[0].mass.select(-1, kLength - 1).mean().item<double>(), 0.3);
}

TEST(SourceAttention, IsTheSameWhateverTheMicroBatch) {
  for (const auto& section :
       {small_architecture("decoder"), small_architecture("decoder", "prefix").with("partial_attention", "true"),
        small_architecture("encoder_decoder"), small_architecture("encoder_decoder").with("joint_softmax", "true")}) {
    JudgedNetwork judged(section, make_self_mesh());
    auto context = judged.context();
    const auto line = SourceAttentionEvaluation().run(context).front();
    EXPECT_EQ(line["source_tokens"], kSource);
    EXPECT_EQ(line["target_tokens"], kLength - kSource);
    const bool has_both = line.contains("source");
    if (has_both) {
      EXPECT_NEAR(line["source"].get<double>(), 1, 1e-6);
      EXPECT_NEAR(line["mass"].get<double>(), (1 + line["self"].get<double>()) / 2, 1e-6);
    } else {
      EXPECT_EQ(line["mass"], line["self"]);
    }
    const auto& table = line["slices"]["targets"];
    EXPECT_EQ(table[std::to_string(kLength - kSource)]["mass"], line["mass"]);
    EXPECT_GT(table["1"]["mass"].get<double>(), line["mass"].get<double>() - 1e-6);
    EXPECT_EQ(line["slices"]["layer"].size(), 2u);
    context.micro_size = 7;
    EXPECT_NEAR(SourceAttentionEvaluation().run(context).front()["mass"].get<double>(), line["mass"].get<double>(), 1e-6);
  }
}

TEST(SourceAttention, SaysWhatItCannotWatch) {
  const auto reason = [](const Section& section) {
    const auto offers = find_architecture(section).offers(section, 1);
    return SourceAttentionEvaluation().misfit(
        {.offers = offers, .options = {}, .has_corpora = true, .tokenizer = {}, .length = 8});
  };
  EXPECT_FALSE(reason(small_architecture("decoder")));
  EXPECT_FALSE(reason(small_architecture("encoder_decoder")));
  EXPECT_NE(reason(small_architecture("decoder", "full")).value().find("causal or prefix"), std::string::npos);
  EXPECT_NE(reason(small_architecture("byte_word")).value().find("decoders of tokens"), std::string::npos);
}

}  // namespace
}  // namespace lacuna
