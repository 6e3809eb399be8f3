// A study file: which cells it makes, what it refuses and how it says so.
#include "launch/study/study.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

using testing::expect_error;

constexpr const char* kStudy = R"(
[study]
name = "grid"
base = "base.toml"
set = ["run.steps=5"]
tasks = ["loss"]

[[axis]]
name = "architecture"
[[axis.arm]]
name = "causal"
set = ["architecture.visibility=causal"]
[[axis.arm]]
name = "prefix"
set = ["architecture.visibility=prefix"]

[[axis]]
name = "objective"
[[axis.arm]]
name = "lm"
set = ["objective.kind=next_token"]
[[axis.arm]]
name = "span"
set = ["objective.kind=span_corruption"]
)";

class StudyTest : public ::testing::Test {
 protected:
  StudyTest() { std::ofstream(folder / "base.toml") << "[run]\nsteps = 3\n"; }
  Study read(const std::string& more = "", const std::vector<std::string>& sets = {}, const std::string& text = kStudy) {
    std::ofstream(folder / "study.toml") << text << more;
    return read_study(folder / "study.toml", sets);
  }
  void refuses(const std::string& words, const std::string& more) {
    expect_error(ExitCode::usage, words, [&] { read(more); });
  }
  static std::vector<std::string> names(const Study& study) {
    std::vector<std::string> all;
    for (const auto& cell : study.cells) all.push_back(cell.name);
    return all;
  }
  testing::TemporaryFolder folder;
};

using Words = std::vector<std::string>;

TEST_F(StudyTest, CellsAreTheProductOfTheAxes) {
  const auto study = read();
  EXPECT_EQ(names(study), (Words{"causal-lm", "causal-span", "prefix-lm", "prefix-span"}));
  EXPECT_EQ(study.cell("prefix-span").sets, (Words{"architecture.visibility=prefix", "objective.kind=span_corruption"}));
  EXPECT_EQ(study.cell("prefix-span").arms.at("objective"), "span");
  EXPECT_EQ(study.cell("prefix-span").tasks, Words{"loss"});
  EXPECT_EQ(study.options.seeds, (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(study.base, folder / "base.toml");
}

TEST_F(StudyTest, SkippedPointsAreLeftOut) {
  EXPECT_EQ(names(read("[[skip]]\narchitecture = \"prefix\"\nobjective = \"lm\"\n")), (Words{"causal-lm", "causal-span", "prefix-span"}));
  EXPECT_EQ(names(read("[[skip]]\nobjective = [\"lm\", \"span\"]\narchitecture = \"causal\"\n")), (Words{"prefix-lm", "prefix-span"}));
}

TEST_F(StudyTest, SpecialSettingsGoToThePointsThatMatch) {
  const auto study = read("[[where]]\narchitecture = \"causal\"\nobjective = \"span\"\nset = [\"run.steps=7\"]\ntasks = [\"needle\"]\n");
  EXPECT_EQ(study.cell("causal-span").tasks, Words{"needle"});
  EXPECT_EQ(study.cell("causal-lm").tasks, Words{"loss"});
  EXPECT_EQ(study.cell("causal-span").sets.back(), "run.steps=7");
  EXPECT_EQ(study.cell("causal-lm").sets.size(), 2u);
  EXPECT_EQ(study.cell("prefix-span").sets.size(), 2u);
}

TEST_F(StudyTest, ACellGoesOnFromAnotherWithItsSettings) {
  const auto study = read("[[cell]]\nname = \"adapted\"\nfrom = \"causal-lm\"\nset = [\"run.steps=2\"]\ntasks = [\"needle\"]\n");
  const auto& cell = study.cells.back();
  EXPECT_EQ(cell.name, "adapted");
  EXPECT_EQ(cell.from, "causal-lm");
  EXPECT_EQ(cell.sets, (Words{"architecture.visibility=causal", "objective.kind=next_token", "run.steps=2"}));
  EXPECT_EQ(cell.tasks, Words{"needle"});
}

TEST_F(StudyTest, ACellLearnsFromAnother) {
  const auto study = read("[[cell]]\nname = \"taught\"\nteacher = \"causal-lm\"\nset = [\"run.steps=2\"]\n");
  EXPECT_EQ(study.cell("taught").teacher, "causal-lm");
  EXPECT_EQ(study.cell("taught").from, "");
  EXPECT_EQ(study.cell("taught").sets, Words{"run.steps=2"});
  refuses("teacher = \"causal-ml\" is no cell before this one (causal-lm", "[[cell]]\nname = \"x\"\nteacher = \"causal-ml\"\n");
}

TEST_F(StudyTest, AStarMakesOneCellForEveryOneThatFits) {
  const auto study = read("[[cell]]\nname = \"tuned\"\nfrom = \"*-span\"\n[[cell]]\nname = \"more\"\nfrom = \"*+tuned\"\n");
  EXPECT_EQ(study.cells.size(), 8u);
  EXPECT_EQ(study.cell("causal-span+tuned").from, "causal-span");
  EXPECT_EQ(study.cell("prefix-span+tuned+more").from, "prefix-span+tuned");
}

TEST_F(StudyTest, PatternsFit) {
  EXPECT_TRUE(matches_pattern("prefix-span+tuned", "*-span*"));
  EXPECT_TRUE(matches_pattern("aXbXc", "a*X*c"));
  EXPECT_TRUE(matches_pattern("abc", "abc"));
  EXPECT_TRUE(matches_pattern("", "*"));
  EXPECT_FALSE(matches_pattern("abc", "ab"));
  EXPECT_FALSE(matches_pattern("ab", "abc"));
  EXPECT_FALSE(matches_pattern("prefix-lm", "*-span"));
}

TEST_F(StudyTest, TheCommandLineChangesTheStudyOrEveryCell) {
  const auto study = read("", {"study.seeds=[7]", "run.steps=9", "study.name=other"});
  EXPECT_EQ(study.options.seeds, std::vector<int64_t>{7});
  EXPECT_EQ(study.options.name, "other");
  EXPECT_EQ(study.sets, Words{"run.steps=9"});
}

constexpr const char* kClaim = "[[claim]]\ntext = \"t\"\nmetric = \"loss/loss\"\n";

TEST_F(StudyTest, AClaimChoosesCells) {
  const auto study = read(std::string(kClaim) + "a = { objective = \"span\" }\nb = \"causal-lm\"\ncheck = \"a / b < 1.015\"\n");
  const auto& claim = study.claims.at(0);
  EXPECT_EQ(claim.a, (Words{"causal-span", "prefix-span"}));
  EXPECT_EQ(claim.b, Words{"causal-lm"});
  EXPECT_EQ(claim.check.operation, Operation::ratio);
  EXPECT_EQ(claim.check.relation, Relation::below);
  EXPECT_DOUBLE_EQ(claim.check.threshold, 1.015);
}

TEST(Check, HasThreeForms) {
  EXPECT_EQ(parse_check("a - b > 0").operation, Operation::difference);
  EXPECT_EQ(parse_check("a>-0.5").operation, Operation::alone);
  EXPECT_EQ(parse_check("a>-0.5").threshold, -0.5);
  for (const char* wrong : {"", "a", "a = 3", "b - a > 0", "a > b", "a / b < ", "a - b > 1x"}) {
    expect_error(ExitCode::usage, "must read like", [&] { parse_check(wrong); });
  }
}

TEST_F(StudyTest, MistakesNameThePlaceAndTheMend) {
  refuses("did you mean [claim]", "[[claims]]\n");
  refuses("study.toml:", "[[axis]]\nname = \"empty\"\n");
  refuses("has no [[axis.arm]]", "[[axis]]\nname = \"empty\"\n");
  refuses("two cells called \"causal-lm\"", "[[cell]]\nname = \"causal-lm\"\n");
  refuses("fits no cell before this one (causal-lm", "[[cell]]\nname = \"x\"\nfrom = \"causal-ml\"\n");
  refuses("there is no axis \"objectiv\"; did you mean objective?", "[[skip]]\nobjectiv = \"lm\"\n");
  refuses("has no arm \"ml\"", "[[skip]]\nobjective = \"ml\"\n");
  refuses("[[where]] needs set", "[[where]]\nobjective = \"lm\"\n");
  refuses("letters, digits", "[[cell]]\nname = \"a/b\"\n");
  refuses("fits no cell (cells: causal-lm", std::string(kClaim) + "a = \"nobody\"\ncheck = \"a > 0\"\n");
  refuses("names none", std::string(kClaim) + "a = \"causal-lm\"\ncheck = \"a - b > 0\"\n");
  refuses("does not speak of b", std::string(kClaim) + "a = \"causal-lm\"\nb = \"prefix-lm\"\ncheck = \"a > 0\"\n");
  refuses("metric: a claim needs it", "[[claim]]\ntext = \"t\"\na = \"causal-lm\"\ncheck = \"a > 0\"\n");
  refuses("must read like", std::string(kClaim) + "a = \"causal-lm\"\ncheck = \"a is good\"\n");
  refuses("two cells or more", std::string(kClaim) + "a = \"causal-lm\"\ncheck = \"a > 0\"\nquantity = \"exponent\"\n");
  expect_error(ExitCode::usage, "names a seed twice", [&] { read("", {"study.seeds=[1,1]"}); });
  expect_error(ExitCode::usage, "there is no config", [&] { read("", {"study.base=gone.toml"}); });
  expect_error(ExitCode::usage, "needs a section [study]", [&] { read("", {}, "[[cell]]\nname = \"x\"\n"); });
}

}  // namespace
}  // namespace lacuna
