// The confusion matrices of a study's page: of every cell, task and arm, seeds together, folded away where they are many.
#include <gtest/gtest.h>

#include "launch/study/report.h"
#include "tests/support/markup.h"

namespace lacuna {
namespace {

RunRecord record(const std::string& cell, int64_t seed, const std::vector<std::string>& metrics,
                 const std::string& state = "done") {
  RunRecord r{.cell = cell,
              .seed = seed,
              .state = state,
              .reason = {},
              .device = {},
              .host = {},
              .commit = {},
              .numbers = {},
              .figures = {},
              .curves = {}};
  for (const auto& metric : metrics) {
    r.confusions[metric] = {.classes = {"<one>", "two"}, .counts = {{10 * seed, 1}, {2, 20}}};
    r.numbers[metric + "/accuracy"] = 0.25 * static_cast<double>(seed);
    r.numbers[metric + "/accuracy_low"] = 0.125 * static_cast<double>(seed);
    r.numbers[metric + "/accuracy_high"] = 0.5 * static_cast<double>(seed);
  }
  return r;
}

Study study_of(const std::vector<std::string>& cells) {
  Study study;
  for (const auto& name : cells) study.cells.push_back({.name = name, .arms = {}, .sets = {}, .from = {}, .tasks = {}});
  return study;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(ConfusionSection, AddsSeedsAndSaysTheIntervalOfARun) {
  const auto study = study_of({"joint", "other"});
  const std::vector<RunRecord> records = {record("joint", 1, {"probe/random/digit"}), record("joint", 2, {"probe/random/digit"}),
                                          record("joint", 4, {"probe/random/digit"}, "unfinished")};
  const auto html = confusion_section({.study = study, .records = records, .claims = {}, .origin = {}});
  EXPECT_EQ(testing::fault_of("<body>" + html + "</body>"), "");
  EXPECT_TRUE(has(html, "<title>joint: probe, random</title>"));
  EXPECT_TRUE(has(html, "<title>30 of 32 of &lt;one&gt; told right</title>"));
  EXPECT_TRUE(has(html, "true digit"));
  EXPECT_TRUE(has(html, "accuracy 0.3750, 95 % interval of a run 0.1875 to 0.7500; means over 2 seeds")) << html;
  EXPECT_FALSE(has(html, "<details>")) << "one picture is shown at once";
}

TEST(ConfusionSection, FoldsManyAway) {
  const auto study = study_of({"a", "b&c"});
  const std::vector<std::string> metrics = {"finetune/pretrained/digit", "finetune/scratch/digit", "probe/pretrained/digit"};
  const std::vector<RunRecord> records = {record("a", 1, metrics), record("b&c", 1, metrics)};
  const auto html = confusion_section({.study = study, .records = records, .claims = {}, .origin = {}});
  EXPECT_EQ(testing::fault_of("<body>" + html + "</body>"), "");
  for (const auto* summary : {"a, finetune", "a, probe", "b&amp;c, finetune", "b&amp;c, probe"}) {
    EXPECT_TRUE(has(html, std::string("<details><summary>") + summary + "</summary>")) << summary;
  }
}

TEST(ConfusionSection, IsEmptyWhereNothingIsToldOfClasses) {
  const auto study = study_of({"a"});
  const std::vector<RunRecord> records = {record("a", 1, {})};
  EXPECT_EQ(confusion_section({.study = study, .records = records, .claims = {}, .origin = {}}), "");
}

}  // namespace
}  // namespace lacuna
