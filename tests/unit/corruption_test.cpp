#include "objectives/corruption.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>

namespace lacuna {
namespace {

TEST(Choose, TakesThatManyDifferentNumbersInOrder) {
  for (int64_t bound = 1; bound < 20; ++bound) {
    for (int64_t count = 0; count <= bound; ++count) {
      const auto chosen = choose(bound, count, Random(1, static_cast<uint64_t>(bound * 100 + count)));
      ASSERT_EQ(chosen.size(), static_cast<size_t>(count));
      EXPECT_EQ(std::set<int32_t>(chosen.begin(), chosen.end()).size(), chosen.size());
      EXPECT_TRUE(std::is_sorted(chosen.begin(), chosen.end()));
      for (const int32_t c : chosen) EXPECT_TRUE(c >= 0 && c < bound);
    }
  }
}

TEST(Choose, EverySetIsEquallyLikely) {
  std::map<std::vector<int32_t>, int> seen;
  constexpr int kDraws = 20000;
  for (uint64_t i = 0; i < kDraws; ++i) ++seen[choose(5, 2, Random(3, i))];
  EXPECT_EQ(seen.size(), 10u);
  for (const auto& [set, count] : seen) EXPECT_NEAR(count, kDraws / 10, 5 * std::sqrt(kDraws * 0.1 * 0.9));
}

TEST(Compose, EverySumIsEquallyLikely) {  // of 5 as three positive numbers there are six
  std::map<std::vector<int64_t>, int> seen;
  constexpr int kDraws = 12000;
  for (uint64_t i = 0; i < kDraws; ++i) {
    const auto parts = compose(5, 3, Random(4, i));
    EXPECT_EQ(std::accumulate(parts.begin(), parts.end(), int64_t{0}), 5);
    ++seen[parts];
  }
  EXPECT_EQ(seen.size(), 6u);
  for (const auto& [parts, count] : seen) EXPECT_NEAR(count, kDraws / 6, 5 * std::sqrt(kDraws / 6.0 * 5 / 6));
}

TEST(SpanPlan, FillsAnEncodersInputsAsT5Does) {
  struct Row {
    int64_t inputs, raw, targets, masked, spans;
  };
  for (const auto& row : {Row{128, 141, 29, 21, 7}, Row{256, 284, 58, 43, 14}, Row{512, 568, 114, 85, 28},
                          Row{1024, 1137, 229, 171, 57}, Row{2048, 2274, 456, 341, 114}}) {
    const auto plan = plan_for_inputs(row.inputs, 0.15, 3.0);
    EXPECT_EQ(plan.input_length(), row.inputs);
    EXPECT_EQ(plan.raw, row.raw);
    EXPECT_EQ(plan.target_length(), row.targets);
    EXPECT_EQ(plan.masked, row.masked);
    EXPECT_EQ(plan.spans, row.spans);
  }
}

TEST(SpanPlan, ADecodersRowOf626HoldsInputsAndTargetsOfT5) {
  const auto plan = plan_for_row(626, 0.15, 3.0);
  EXPECT_EQ(plan.input_length(), 512);
  EXPECT_EQ(plan.target_length(), 114);
}

TEST(SpanPlan, ShortRowsHaveAPlanOrNone) {
  for (int64_t length = 0; length < 40; ++length) {
    const auto plan = plan_for_row(length, 0.15, 3.0);
    EXPECT_LE(plan.raw == 0 ? 0 : plan.input_length() + plan.target_length(), length);
    if (plan.raw == 0) continue;
    EXPECT_GE(plan.spans, 1);
    EXPECT_LE(plan.spans, plan.masked);
    EXPECT_LE(plan.spans, plan.raw - plan.masked);
  }
  EXPECT_EQ(plan_for_row(3, 0.15, 3.0).raw, 0);
}

TEST(CorruptSpans, TargetsPutBackIntoInputsGiveTheText) {
  std::vector<int32_t> raw(568), sentinels(100);
  std::iota(raw.begin(), raw.end(), 0);
  for (int32_t k = 0; k < 100; ++k) sentinels[static_cast<size_t>(k)] = 1099 - k;
  const auto plan = plan_spans(568, 0.15, 3.0);
  for (uint64_t draw = 0; draw < 200; ++draw) {
    const auto pair = corrupt_spans(raw, plan, sentinels, 999, Random(5, draw));
    ASSERT_EQ(static_cast<int64_t>(pair.inputs.size()), plan.input_length());
    ASSERT_EQ(static_cast<int64_t>(pair.targets.size()), plan.target_length());
    std::map<int32_t, std::vector<int32_t>> spans;
    int32_t open = -1;
    for (size_t i = 0; i + 1 < pair.targets.size(); ++i) {
      const auto t = pair.targets[i];
      if (t >= 1000) {
        EXPECT_TRUE(open == -1 || t == open - 1) << "sentinels fall one by one";
        spans[open = t];
      } else {
        spans[open].push_back(t);
      }
    }
    std::vector<int32_t> text;
    for (size_t i = 0; i + 1 < pair.inputs.size(); ++i) {
      const auto t = pair.inputs[i];
      if (t < 1000) {
        text.push_back(t);
      } else {
        EXPECT_FALSE(spans[t].empty());
        text.insert(text.end(), spans[t].begin(), spans[t].end());
      }
    }
    EXPECT_EQ(text, raw);
    EXPECT_EQ(pair.inputs.back(), 999);
    EXPECT_EQ(pair.targets.back(), 999);
    EXPECT_LT(pair.inputs.front(), 1000) << "the first token is never masked";
    EXPECT_GE(pair.inputs[pair.inputs.size() - 2], 1000) << "the last token always is";
  }
}

}  // namespace
}  // namespace lacuna
