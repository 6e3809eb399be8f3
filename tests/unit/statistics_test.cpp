// Means and errors by hand; the bootstrap against the exact distribution over all resamples; the rule of verdicts case by case.
#include "trainer/report/statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace lacuna {
namespace {

// Every resample there is, n^n of them, each once: what the drawn ones are samples of.
std::vector<double> all_means(const std::vector<double>& values) {
  const size_t n = values.size();
  size_t count = 1;
  for (size_t i = 0; i < n; ++i) count *= n;
  std::vector<double> means;
  for (size_t resample = 0; resample < count; ++resample) {
    double sum = 0;
    for (size_t i = 0, rest = resample; i < n; ++i, rest /= n) sum += values[rest % n];
    means.push_back(sum / static_cast<double>(n));
  }
  std::sort(means.begin(), means.end());
  return means;
}

double share_not_above(const std::vector<double>& sorted, double threshold) {
  return static_cast<double>(std::upper_bound(sorted.begin(), sorted.end(), threshold) - sorted.begin()) /
         static_cast<double>(sorted.size());
}

TEST(Summary, IsMeanAndStandardErrorOfASample) {
  const auto s = summarize(std::vector<double>{1, 2, 3, 6});
  EXPECT_EQ(s.count, 4);
  EXPECT_DOUBLE_EQ(s.mean, 3);
  EXPECT_DOUBLE_EQ(s.standard_error, std::sqrt((4 + 1 + 0 + 9) / 3.0 / 4));
  EXPECT_EQ(s.low, 1);
  EXPECT_EQ(s.high, 6);
}

TEST(Summary, OneValueHasNoErrorAndNoneHasNoMean) {
  EXPECT_TRUE(std::isnan(summarize(std::vector<double>{4}).standard_error));
  EXPECT_EQ(summarize(std::vector<double>{4}).mean, 4);
  EXPECT_TRUE(std::isnan(summarize({}).mean));
}

TEST(Bootstrap, AgreesWithTheExactDistributionOfResamples) {
  const std::vector<double> values = {0.9, -0.4, 1.7, 0.3, 2.2, -1.1};
  const auto exact = all_means(values);  // 46,656
  const auto drawn = bootstrap_mean(values, 0, 7, 20'000);
  const auto at = [&](double share) { return exact[static_cast<size_t>(share * static_cast<double>(exact.size() - 1))]; };
  EXPECT_NEAR(drawn.low, at(0.025), 0.03);
  EXPECT_NEAR(drawn.high, at(0.975), 0.03);
  const double p = 2 * std::min(share_not_above(exact, 0), 1 - share_not_above(exact, 0));
  EXPECT_NEAR(drawn.p, p, 0.01);
}

TEST(Bootstrap, IsAFunctionOfItsSeedAndNeverCertain) {
  const std::vector<double> values = {1.0, 1.1, 0.9, 1.3};
  const auto once = bootstrap_mean(values, 1.05, 3), again = bootstrap_mean(values, 1.05, 3), other = bootstrap_mean(values, 1.05, 4);
  EXPECT_EQ(once.p, again.p);
  EXPECT_EQ(once.low, again.low);
  EXPECT_NE(once.p, other.p);
  EXPECT_GT(bootstrap_mean(values, 0, 1).p, 0);
  EXPECT_LT(bootstrap_mean(values, 0, 1).p, 0.001);
  EXPECT_EQ(bootstrap_mean(std::vector<double>{2, 2, 2}, 2, 1).p, 1);
}

Verdict verdict(const std::vector<double>& values, Relation relation, double threshold = 0) {
  return judge(values, relation, threshold, 1).verdict;
}

TEST(Judge, ReproducedWhereEverySeedHolds) {
  EXPECT_EQ(verdict({0.1, 0.2, 0.01}, Relation::above), Verdict::reproduced);
  EXPECT_EQ(verdict({-0.1, -0.2, -0.01}, Relation::below), Verdict::reproduced);
  EXPECT_EQ(verdict({1.01, 1.0, 1.014}, Relation::below, 1.015), Verdict::reproduced);
}

TEST(Judge, NotReproducedWhereEverySeedSaysTheOpposite) {
  EXPECT_EQ(verdict({-0.1, -0.2, -0.01}, Relation::above), Verdict::not_reproduced);
  EXPECT_EQ(verdict({1.02, 1.03, 1.016}, Relation::below, 1.015), Verdict::not_reproduced);
}

TEST(Judge, UndecidedWhereSeedsDisagreeOrTie) {
  EXPECT_EQ(verdict({0.1, -0.2, 0.15}, Relation::above), Verdict::undecided);
  EXPECT_EQ(verdict({0, 0, 0}, Relation::above), Verdict::undecided);
  EXPECT_EQ(verdict({0.1, 0.1, 0}, Relation::above), Verdict::undecided) << "a tie is no sign, and p is 2/27";
}

TEST(Judge, ManySeedsDecideOnAverageThoughOneDisagrees) {
  const std::vector<double> values = {0.3, 0.4, 0.35, -0.02, 0.38, 0.42, 0.31, 0.36};
  const auto judged = judge(values, Relation::above, 0, 1);
  EXPECT_EQ(judged.verdict, Verdict::reproduced);
  EXPECT_LT(judged.bootstrap.p, kSignificance);
  EXPECT_EQ(verdict(values, Relation::below), Verdict::not_reproduced);
  EXPECT_NE(judged.reason.find("7 of 8 seeds"), std::string::npos) << judged.reason;
}

TEST(Judge, TwoSeedsDecideNothing) {
  const auto judged = judge(std::vector<double>{5, 6}, Relation::above, 0, 1);
  EXPECT_EQ(judged.verdict, Verdict::undecided);
  EXPECT_NE(judged.reason.find("fewer than 3 seeds"), std::string::npos);
  EXPECT_EQ(judge({}, Relation::above, 0, 1).verdict, Verdict::undecided);
}

}  // namespace
}  // namespace lacuna
