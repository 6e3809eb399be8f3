// Claims against records that are made up, so that every verdict is known beforehand.
#include "launch/study/claim_result.h"

#include <gtest/gtest.h>

#include <cmath>

#include "launch/study/report.h"

namespace lacuna {
namespace {

RunRecord record(const std::string& cell, int64_t seed, double loss, double tokens = 1000) {
  return {.cell = cell,
          .seed = seed,
          .state = "done",
          .reason = {},
          .text_tokens_per_step = 10,
          .flops_per_step = 100,
          .device = "cpu",
          .host = "here",
          .commit = "abc",
          .numbers = {{"loss/loss", loss}, {"tokens", tokens}, {"loss_tokens", tokens}, {"flops", 10 * tokens}, {"parameters", 50}},
          .figures = {"loss/loss"},
          .curves = {}};
}

Claim claim(const std::string& check, Quantity quantity = Quantity::value) {
  Claim c;
  c.options = {.text = "t", .metric = "loss/loss", .check = check, .quantity = quantity};
  c.check = parse_check(check);
  c.a = {"a"};
  if (c.check.operation != Operation::alone) c.b = {"b"};
  c.a_text = "a", c.b_text = "b";
  return c;
}

TEST(ClaimResult, ComparesSeedBySeed) {
  const std::vector<RunRecord> records = {record("a", 1, 2.0), record("a", 2, 3.0), record("a", 3, 4.0),
                                          record("b", 1, 2.1), record("b", 2, 3.1), record("b", 3, 4.1)};
  const auto result = evaluate_claim(claim("a - b < 0"), records, 0.05);
  ASSERT_EQ(result.compared.size(), 3u);
  for (const double difference : result.compared) EXPECT_NEAR(difference, -0.1, 1e-12);
  EXPECT_EQ(result.judgement.verdict, Verdict::reproduced);
  EXPECT_LT(result.judgement.bootstrap.high, 0) << "what seeds have in common must cancel";
  EXPECT_EQ(evaluate_claim(claim("a - b > 0"), records, 0.05).judgement.verdict, Verdict::not_reproduced);
  EXPECT_EQ(evaluate_claim(claim("a > 2.5"), records, 0.05).judgement.verdict, Verdict::undecided);
}

TEST(ClaimResult, ARoundingIsNoSign) {
  std::vector<RunRecord> records;
  for (int64_t seed = 1; seed <= 3; ++seed) {
    records.push_back(record("a", seed, 0.1 + 0.2));
    records.push_back(record("b", seed, 0.3));
  }
  EXPECT_EQ(evaluate_claim(claim("a - b > 0"), records, 0.05).judgement.verdict, Verdict::undecided);
  EXPECT_EQ(evaluate_claim(claim("a / b > 1"), records, 0.05).judgement.verdict, Verdict::undecided);
}

TEST(ClaimResult, ArmsThatGuessAreNotCompared) {
  const auto verdict = [](double low_of_a, const std::string& chance) {
    std::vector<RunRecord> records;
    for (int64_t seed = 1; seed <= 3; ++seed) {
      for (const std::string cell : {"a", "b"}) {
        records.push_back(record(cell, seed, 0));
        records.back().numbers = {{"needle/depth/0.5/accuracy", cell == "a" ? 0.12 : 0.1},
                                  {"needle/depth/0.5/accuracy_low", cell == "a" ? low_of_a : 0.05},
                                  {chance, 0.1}};
      }
    }
    auto c = claim("a - b > 0");
    c.options.metric = "needle/depth/0.5/accuracy";
    return evaluate_claim(c, records, 0.05).judgement;
  };
  EXPECT_EQ(verdict(0.07, "needle/depth/0.5/chance").verdict, Verdict::undecided);
  EXPECT_EQ(verdict(0.07, "needle/depth/0.5/chance").reason, "no arm answers better than chance, so there is nothing to compare");
  EXPECT_EQ(verdict(0.11, "needle/depth/0.5/chance").verdict, Verdict::reproduced) << "one arm does";
  EXPECT_EQ(verdict(0.07, "other/chance").verdict, Verdict::reproduced) << "of which chance is not known";
}

TEST(ClaimResult, ASeedWithoutBothArmsIsLeftOut) {
  std::vector<RunRecord> records = {record("a", 1, 2), record("a", 2, 2), record("a", 3, 2), record("b", 1, 3), record("b", 2, 3), record("b", 3, 3)};
  records[2].state = "failed";
  const auto result = evaluate_claim(claim("a - b < 0"), records, 0.05);
  EXPECT_EQ(result.seeds, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(result.judgement.verdict, Verdict::undecided);
}

TEST(ClaimResult, TellsWhatIsNotMatched) {
  const std::vector<RunRecord> records = {record("a", 1, 2, 1000), record("b", 1, 3, 2000)};
  const auto result = evaluate_claim(claim("a - b < 0"), records, 0.05);
  ASSERT_EQ(result.matches.size(), 4u);
  EXPECT_FALSE(result.matches[0].matched);  // tokens
  EXPECT_TRUE(result.matches[3].matched);   // parameters
  const auto text = match_text(result);
  EXPECT_NE(text.find("parameters matched"), std::string::npos) << text;
  EXPECT_NE(text.find("tokens NOT matched: 1000 and 2000 (0.5000x)"), std::string::npos) << text;
}

// Loss falls by one a step from `start`.
RunRecord falling(const std::string& cell, int64_t seed, double start, int64_t steps) {
  auto r = record(cell, seed, start - static_cast<double>(steps), 10.0 * static_cast<double>(steps));
  for (int64_t step = 1; step <= steps; ++step) r.curves["loss/loss"].push_back({step, start - static_cast<double>(step)});
  return r;
}

TEST(ClaimResult, ComparesTheTokensUntilTheOthersLastValue) {
  std::vector<RunRecord> records;
  for (int64_t seed = 1; seed <= 3; ++seed) {
    records.push_back(falling("a", seed, 15.5, 12));  // is at 5.5 - 0.5 = 5 halfway from step 10 to 11
    records.push_back(falling("b", seed, 26, 21));    // ends at 5
  }
  const auto result = evaluate_claim(claim("a / b < 0.6", Quantity::tokens_to_target), records, 0.05);
  ASSERT_EQ(result.a.size(), 3u);
  EXPECT_NEAR(result.a[0], 105, 1e-9);
  EXPECT_NEAR(result.b[0], 210, 1e-9);
  EXPECT_EQ(result.judgement.verdict, Verdict::reproduced);
}

TEST(ClaimResult, AnArmThatNeverGetsThereIsNoSuccess) {
  std::vector<RunRecord> records;
  for (int64_t seed = 1; seed <= 3; ++seed) {
    records.push_back(falling("a", seed, 30, 8));  // stops at 22, after 80 tokens of b's 210
    records.push_back(falling("b", seed, 26, 21));
  }
  const auto open = evaluate_claim(claim("a / b < 0.6", Quantity::tokens_to_target), records, 0.05);
  EXPECT_EQ(open.judgement.verdict, Verdict::undecided) << "80 tokens were too few to tell";
  EXPECT_NE(open.note.find("seed 2 a never came down"), std::string::npos) << open.note;
  const auto failed = evaluate_claim(claim("a / b < 0.3", Quantity::tokens_to_target), records, 0.05);
  EXPECT_EQ(failed.judgement.verdict, Verdict::not_reproduced) << "it needs more than 80 of 210";
}

TEST(ClaimResult, FitsExponentsOverTheCellsOfAnArm) {
  std::vector<RunRecord> records;
  for (int64_t seed = 1; seed <= 3; ++seed) {
    for (const double tokens : {100.0, 1000.0, 10000.0}) {
      const auto size = std::to_string(static_cast<int>(tokens));
      records.push_back(record("a" + size, seed, 5 * std::pow(tokens, -0.3), tokens));
      records.push_back(record("b" + size, seed, 2 * std::pow(tokens, -0.2), tokens));
    }
  }
  auto slopes = claim("a - b > 0", Quantity::exponent);
  slopes.a = {"a100", "a1000", "a10000"}, slopes.b = {"b100", "b1000", "b10000"};
  const auto result = evaluate_claim(slopes, records, 0.05);
  ASSERT_EQ(result.compared.size(), 3u);
  EXPECT_NEAR(result.a[0], 0.3, 1e-9);
  EXPECT_NEAR(result.compared[0], 0.1, 1e-9);
  EXPECT_EQ(result.judgement.verdict, Verdict::reproduced);
}

TEST(Report, SaysTheSameInBothFormsAndNeedsNothingElse) {
  Study study;
  study.options.title = "A <b> study";
  study.options.seeds = {1, 2, 3};
  study.cells = {{.name = "a", .arms = {}, .sets = {}, .from = {}, .tasks = {}}, {.name = "b", .arms = {}, .sets = {}, .from = {}, .tasks = {}}};
  study.claims = {claim("a - b < 0")};
  std::vector<RunRecord> records;
  for (int64_t seed = 1; seed <= 3; ++seed) {
    records.push_back(falling("a", seed, 26, 22));
    records.push_back(falling("b", seed, 26, 21));
  }
  records.back().state = "failed";
  records.back().reason = "training left with code 70: lacuna: out | of ideas";
  const auto report = make_report(study, records, "lacuna ablate x.toml");
  const auto markdown = report_markdown(report), html = report_html(report);
  for (const auto* text : {&markdown, &html}) {
    EXPECT_NE(text->find("undecided"), std::string::npos);
    EXPECT_NE(text->find("holds for 2 of 2 seeds"), std::string::npos);
    EXPECT_NE(text->find("lacuna ablate x.toml"), std::string::npos);
    EXPECT_NE(text->find("failed"), std::string::npos);
  }
  EXPECT_NE(html.find("A &lt;b&gt; study"), std::string::npos);
  EXPECT_NE(markdown.find("out \\| of ideas"), std::string::npos);
  EXPECT_EQ(html.find("src="), std::string::npos);
  EXPECT_EQ(html.find("href="), std::string::npos);
  EXPECT_EQ(html.find("@import"), std::string::npos);
  EXPECT_NE(html.find("<path class=\"line c1\""), std::string::npos);
}

TEST(Report, TableHasOneLineARunAndAColumnANumber) {
  Study study;
  study.axes = {"size"};
  study.cells = {{.name = "a", .arms = {{"size", "small, old"}}, .sets = {}, .from = {}, .tasks = {}}};
  const auto csv = cells_csv(study, {record("a", 1, 2.5), record("a", 2, 0.1)});
  EXPECT_TRUE(csv.starts_with("cell,size,from,seed,state,steps,tokens,loss_tokens,flops,")) << csv;
  EXPECT_NE(csv.find("\na,\"small, old\",,1,done,,1000,1000,10000,"), std::string::npos) << csv;
  EXPECT_NE(csv.find(",2.5,cpu,here,abc,"), std::string::npos) << csv;
}

}  // namespace
}  // namespace lacuna
