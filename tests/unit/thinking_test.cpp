#include "trainer/evaluate/thinking.h"

#include <gtest/gtest.h>

#include <map>

#include "data/synthetic_corpus.h"
#include "data/tokenizer/bytes.h"
#include "objectives/next_token.h"
#include "tests/support/energy_network.h"
#include "tests/support/expect_error.h"
#include "trainer/evaluate/loss.h"

namespace lacuna {
namespace {

constexpr int64_t kLength = 40, kVocabulary = 257;  // of the smallest brackets

class Thinking : public ::testing::Test {
 protected:
  EvaluationContext context(int64_t micro_size) {
    EvaluateOptions options;
    options.examples = 4;
    return {.objective = *network->objective,
            .architecture = *network->decoder,
            .mesh = *mesh,
            .corpora = corpora,
            .rows = 3,
            .micro_size = micro_size,
            .seed = 1,
            .tokenizer = std::make_shared<BytesTokenizer>(),
            .length = kLength,
            .options = options};
  }
  std::unique_ptr<Mesh> mesh = make_self_mesh();
  std::unique_ptr<testing::EnergyNetwork> network =
      testing::make_energy_network({.alpha = 0.2}, *mesh, {.vocabulary_size = kVocabulary, .length = kLength});
  std::vector<std::shared_ptr<const Corpus>> corpora{std::make_shared<SyntheticCorpus>(
      SyntheticOptions{.vocabulary_size = kVocabulary, .window = kLength + 1, .size = 3})};
};

TEST_F(Thinking, HasALineForEachEffortAndSubject) {
  const auto lines = ThinkingEvaluation().run(context(3));
  EXPECT_EQ(lines.size(), 5u * 2 * 3);
  std::map<std::pair<int64_t, int64_t>, double> losses;
  for (const auto& line : lines) {
    if (line["of"] == "validation") losses[{line["steps"], line["samples"]}] = line["loss"];
    if (line["of"] == "dyck") EXPECT_TRUE(line["slices"].contains("beyond")) << line.dump();
  }
  // As many steps as in training, one search: the loss that the evaluation "loss" finds.
  EXPECT_NEAR((losses.at({2, 1})), LossEvaluation().run(context(3))[0]["loss"].get<double>(), 1e-5);
  EXPECT_NE((losses.at({8, 1})), (losses.at({2, 1})));
  EXPECT_NE((losses.at({2, 4})), (losses.at({2, 1})));
}

TEST_F(Thinking, IsTheSameForAnyMicroBatch) {
  const auto a = ThinkingEvaluation().run(context(1)), b = ThinkingEvaluation().run(context(2));
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    const std::string figure = a[i]["of"] == "validation" ? "loss" : "log_probability";
    const double expected = b[i][figure];
    EXPECT_NEAR(a[i][figure].get<double>(), expected, 1e-4 * std::abs(expected)) << a[i].dump();
  }
}

TEST_F(Thinking, IsNotForObjectivesThatDoNotSearch) {
  NextToken other({}, {.length = kLength, .tokenizer_size = kVocabulary});
  const auto given = context(1);
  const EvaluationContext asked{.objective = other,
                                .architecture = given.architecture,
                                .mesh = given.mesh,
                                .corpora = corpora,
                                .rows = 1,
                                .micro_size = 1,
                                .seed = 1};
  testing::expect_error(ExitCode::usage, "take it out of evaluate.tasks", [&] { ThinkingEvaluation().run(asked); });
}

}  // namespace
}  // namespace lacuna
