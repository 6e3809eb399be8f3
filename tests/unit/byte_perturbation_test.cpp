#include "trainer/evaluate/byte_perturbation.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "data/perturbation.h"
#include "data/tokenizer/tokenizer.h"
#include "objectives/next_token.h"
#include "trainer/evaluate/catalog.h"
#include "trainer/model/byte_word.h"
#include "trainer/model/encoder_decoder.h"
#include "trainer/model/flat_storage.h"
#include "trainer/optim/adamw.h"

namespace lacuna {
namespace {

constexpr int64_t kLength = 64;

// Samples of one text, a row each.
class TextCorpus : public Corpus {
 public:
  explicit TextCorpus(const std::string& text) {
    spec_.tokenizer = load_tokenizer("bytes", "");
    spec_.tokenizer->encode(text, tokens_);
    spec_.tokens = spec_.bytes = static_cast<int64_t>(tokens_.size());
    spec_.vocabulary_size = 257;
  }
  int64_t size() const override { return (static_cast<int64_t>(tokens_.size()) - 1) / kLength; }
  Sample at(int64_t index) const override {
    const auto first = tokens_.begin() + index * kLength;
    return {.position = 0, .tokens = {first, first + kLength + 1}, .document_starts = {}};
  }
  const CorpusSpec& spec() const override { return spec_; }

 private:
  CorpusSpec spec_;
  std::vector<int32_t> tokens_;
};

std::string sentences() {
  std::string text;
  for (int i = 0; i < 30; ++i) text += "the quick brown foxes jumped over many lazy dogs while seven small birds were singing. ";
  return text;
}

template <class A>
struct Judged {
  explicit Judged(const typename A::Options& options)
      : objective({}, {.length = kLength, .tokenizer_size = 257, .end_token = 256}),
        network(options, {.mesh = *mesh, .parameters = table, .vocabulary_size = 257, .max_length = kLength, .seed = 1}),
        parameters(table.list(network)),
        storage(parameters, 1) {
    initialize(parameters, 1, 0, 1);
  }
  nlohmann::ordered_json run() {
    const EvaluationContext context{.objective = objective,
                                    .architecture = network,
                                    .mesh = *mesh,
                                    .corpora = corpora,
                                    .rows = 20,
                                    .micro_size = 8,
                                    .seed = 1,
                                    .tokenizer = corpora[0]->spec().tokenizer,
                                    .length = kLength};
    return BytePerturbationEvaluation().run(context).at(0);
  }
  std::unique_ptr<Mesh> mesh = make_self_mesh();
  ParameterTable table;
  NextToken objective;
  A network;
  std::vector<ParameterSpec> parameters;
  FlatStorage storage;
  std::vector<std::shared_ptr<const Corpus>> corpora{std::make_shared<TextCorpus>(sentences())};
};

// A network that reads nothing is no worse for what it does not read: all bytes are equally likely to it, always.
TEST(BytePerturbation, AnIndifferentNetworkLosesNothing) {
  Judged<Decoder> judged({.num_layers = 1, .hidden_size = 32, .num_heads = 2});
  judged.storage.parameters().zero_();
  const auto line = judged.run();
  EXPECT_NEAR(line["bits_per_byte"].get<double>(), std::log2(257.0), 1e-5);
  for (const std::string name : {"delta_swap", "delta_replace", "delta_delete", "delta_capitals", "slope_swap", "slope"}) {
    EXPECT_NEAR(line[name].get<double>(), 0, 1e-5) << name;
  }
  EXPECT_EQ(line["rows"], 20);
  EXPECT_EQ(line["slices"]["rate"].size(), 4u);
}

TEST(BytePerturbation, WorksWhereverTextIsWrittenOn) {
  Judged<ByteWord> words({.num_layers = 1, .hidden_size = 32, .num_heads = 4});
  Judged<EncoderDecoder> pair({.num_layers = 1, .hidden_size = 32, .num_heads = 4});
  EXPECT_TRUE(std::isfinite(words.run()["slope"].get<double>()));
  EXPECT_TRUE(std::isfinite(pair.run()["slope"].get<double>()));
}

// One that has learnt its text relies on it: errors cost it bits, and more errors more.
TEST(BytePerturbation, ANetworkThatReadsItsContextIsHurt) {
  Judged<Decoder> judged({.num_layers = 2, .hidden_size = 32, .num_heads = 2, .position = PositionKind::rotary});
  std::vector<Sample> samples;
  for (int64_t i = 0; i < 16; ++i) samples.push_back(judged.corpora[0]->at(i));
  const auto batch = judged.objective.prepare(samples, Random(1, 1));
  AdamW optimizer({.weight_decay = 0}, judged.storage);
  const auto scale = at::ones({1}, at::kFloat) / batch.target_count;
  for (int64_t step = 1; step <= 80; ++step) {
    judged.storage.zero_gradients();
    judged.objective.loss(judged.network, batch).sum.backward();
    optimizer.begin(step, 1e-2);
    optimizer.update(scale);
  }
  const auto line = judged.run();
  EXPECT_LT(line["bits_per_byte"].get<double>(), 1.0);
  for (const std::string name : {"delta_swap", "delta_replace", "delta_delete", "delta_capitals", "slope"}) {
    EXPECT_GT(line[name].get<double>(), 0.01) << name;
  }
  const auto& rates = line["slices"]["rate"];
  EXPECT_GT(rates["0.3"]["delta_replace"], rates["0.05"]["delta_replace"]);
  EXPECT_EQ(judged.run(), line) << "it repeats";
}

// The clean figure and a perturbed one, computed here.
TEST(BytePerturbation, CountsBitsOfTheContinuationAlone) {
  Judged<Decoder> judged({.num_layers = 1, .hidden_size = 32, .num_heads = 2});
  const torch::NoGradGuard no_grad;
  judged.storage.parameters().mul_(20);
  judged.corpora = {
      std::make_shared<TextCorpus>(std::string("some words are here, and others follow them in a line of text...."))};
  const auto line = judged.run();
  ASSERT_EQ(line["rows"], 1);
  const std::string context = "some words are here, and others follow", rest = " them in a line of text...";
  ASSERT_EQ(context.size() + rest.size(), static_cast<size_t>(kLength));
  EXPECT_EQ(line["bytes"], rest.size());
  const auto bits = [&](const std::string& before) {
    Batch batch;
    std::vector<int32_t> tokens;
    for (const char c : before + rest) tokens.push_back(static_cast<unsigned char>(c));
    batch.tokens = at::tensor(tokens, at::kInt).unsqueeze(0);
    const auto logits = judged.network.head().logits(judged.network.forward(batch).states)[0].log_softmax(-1);
    double sum = 0;
    for (size_t t = before.size(); t < tokens.size(); ++t) sum -= logits[static_cast<int64_t>(t) - 1][tokens[t]].item<double>();
    return sum / std::numbers::ln2 / static_cast<double>(rest.size());
  };
  judged.network.eval();
  EXPECT_NEAR(line["bits_per_byte"].get<double>(), bits(context), 1e-4);
  EXPECT_NEAR(line["delta_capitals"].get<double>(), bits("SOME WORDS are HERE, and OTHERS FOLLOW") - bits(context), 1e-4);
}

TEST(BytePerturbation, IsRefusedWhereItCannotJudge) {
  const auto& entry = find_evaluation("byte_perturbation");
  EvaluationPlan plan{
      .offers = {.generates = true}, .options = {}, .has_corpora = false, .tokenizer = load_tokenizer("bytes", ""), .length = 64};
  EXPECT_NE(entry.make()->misfit(plan)->find("data.validation"), std::string::npos);
  plan.has_corpora = true;
  EXPECT_FALSE(entry.make()->misfit(plan));
  plan.offers.generates = false;
  EXPECT_TRUE(entry.make()->misfit(plan));
}

}  // namespace
}  // namespace lacuna
