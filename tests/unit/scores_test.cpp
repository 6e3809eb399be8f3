#include "trainer/evaluate/scores.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "trainer/evaluate/documents_qa.h"
#include "trainer/evaluate/ngram.h"

namespace lacuna {
namespace {

// scipy.stats.binomtest(k, n).proportion_ci(method="wilson")
TEST(Scores, WilsonsIntervalsAreTheKnownOnes) {
  const auto expect = [](double k, double n, double low, double high) {
    const auto interval = wilson(k, n);
    EXPECT_NEAR(interval.low, low, 1e-6) << k << " of " << n;
    EXPECT_NEAR(interval.high, high, 1e-6) << k << " of " << n;
  };
  expect(8, 10, 0.4901625, 0.9433178);
  expect(0, 10, 0.0, 0.2775328);
  expect(10, 10, 0.7224672, 1.0);
  expect(50, 100, 0.4038315, 0.5961685);
  expect(0, 0, 0, 1);
}

std::vector<Outcome> outcomes() {
  const auto one = [](double right, const char* size, const char* place) {
    return Outcome{.measures = {{"accuracy", right, 1}},
                   .log_probability = -1 - right,
                   .chance = 0.25,
                   .slices = {{"size", size}, {"gold", place}}};
  };
  return {one(1, "16", "0"), one(0, "16", "1"), one(1, "4", "0"), one(1, "4", "1")};
}

TEST(Scores, TablesAreOfAllAndOfEachSlice) {
  const auto line = score(outcomes(), {{"size", "gold"}});
  EXPECT_EQ(line["accuracy"], 0.75);
  EXPECT_EQ(line["examples"], 4);
  EXPECT_EQ(line["log_probability"], -1.75);
  EXPECT_EQ(line["chance"], 0.25);
  EXPECT_EQ(line["slices"]["size"]["4"]["accuracy"], 1.0);
  EXPECT_EQ(line["slices"]["size"]["16"]["accuracy"], 0.5);
  EXPECT_EQ(line["slices"]["size"].begin().key(), "4") << "numbers ascend";
  EXPECT_EQ(line["slices"]["gold"]["1"]["accuracy"], 0.5);
  EXPECT_EQ(line["slices"]["size_by_gold"]["16"]["1"]["accuracy"], 0.0);
  EXPECT_LT(line["accuracy_low"].get<double>(), 0.75);
}

TEST(Scores, TextForPeopleHasTablesAndNoBoundsInThem) {
  nlohmann::ordered_json line{{"task", "x"}};
  line.update(score(outcomes()));
  const auto text = readable(line);
  EXPECT_NE(text.find("accuracy                0.75  [0.3006, 0.9544]"), std::string::npos) << text;
  EXPECT_NE(text.find("by gold\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("_low"), std::string::npos) << text;
  EXPECT_EQ(headline(line), "x  accuracy 0.75  log_probability -1.75  chance 0.25  examples 4");
}

TEST(Ngram, CountsAndSmooths) {
  Ngram ngram(4);
  ngram.add(std::vector<int32_t>{0, 1, 0, 1, 2});
  EXPECT_NEAR(ngram.log_probability(1, 3, std::vector<int32_t>{0}), std::log(3.0 / 9), 1e-12);
  EXPECT_NEAR(ngram.log_probability(2, 0, std::vector<int32_t>{1}), std::log((2 + 3.0 / 9) / 3), 1e-12);
  for (const int32_t previous : {0, 1, 2, 3}) {
    double total = 0;
    for (int32_t next = 0; next < 4; ++next) total += std::exp(ngram.log_probability(2, previous, std::vector<int32_t>{next}));
    EXPECT_NEAR(total, 1, 1e-12);
  }
  EXPECT_EQ(ngram.likeliest(2, 0), 1);
  EXPECT_EQ(ngram.likeliest(2, 1), 0);
  EXPECT_EQ(ngram.likeliest(1, 3), 0);
}

TEST(DocumentsQa, AnswersAreNormalized) {
  EXPECT_EQ(normalized_answer(" The  Answer, is: a Fox!"), "answer is fox");
  EXPECT_EQ(normalized_answer("theory"), "theory");
}

}  // namespace
}  // namespace lacuna
