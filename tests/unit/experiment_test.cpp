// The experiment as a whole: rules between keys, and the resolved text that runs again.
#include "trainer/config/experiment.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/expect_error.h"

namespace lacuna {
namespace {

Experiment read(const std::string& text, const std::vector<std::string>& sets = {}) {
  return read_experiment_text(text, "file.toml", "/configs", sets);
}
std::string mistake(const std::string& text, const std::vector<std::string>& sets = {}) {
  return testing::error_message(ExitCode::usage, [&] { read(text, sets); });
}

TEST(Experiment, ExactlyOneLengthIsGiven) {
  EXPECT_EQ(mistake("[run]\nname = \"a\"\n"),
            "file.toml:1:2: [run] steps: exactly one of steps and tokens must be above 0, and they are steps = 0 and tokens = 0; "
            "say how long the run is, such as steps = 300");
  EXPECT_EQ(mistake(""),
            "file.toml:1:1: [run] steps: exactly one of steps and tokens must be above 0, and they are steps = 0 and tokens = 0; "
            "say how long the run is, such as steps = 300");
  EXPECT_EQ(mistake("[run]\nsteps = 3\n", {"run.tokens=1000"}),
            "--set run.tokens=1000: [run] tokens: exactly one of steps and tokens must be above 0, and they are steps = 3 and "
            "tokens = 1000; set the other one to 0");
  EXPECT_EQ(read("[run]\nsteps = 3\n", {"run.tokens=1000", "run.steps=0"}).run.tokens, 1000);
}

TEST(Experiment, TheNameIsAPlainFolder) {
  for (const char* name : {"''", "'.'", "'..'", "'a/b'", "'.hidden'", "\"a\\nb\"", "\"a\\u0000\"", "'a\\b'"})
    EXPECT_NE(mistake(std::string("[run]\nsteps = 1\nname = ") + name + "\n").find("file.toml:3:1: [run] name: "),
              std::string::npos);
  EXPECT_EQ(read("[run]\nsteps = 1\nname = 'gpt2-124m_v1.5 +x'\n").run.name, "gpt2-124m_v1.5 +x");
  EXPECT_NE(mistake("[run]\nsteps = 1\nout = ''\n").find("[run] out: must be the path of a folder"), std::string::npos);
}

TEST(Experiment, TheResolvedConfigRunsAgainFromAnywhere) {
  const auto first = read(
      "[run]\nsteps = 5\nname = 'a \"b\"'\nwatchdog = 0.1\n[data]\ntrain = ['a.h5', { corpus = '../b.h5', weight = 0.3 }]\n"
      "validation = ['v.h5']\n[parallel]\nbucket_megabytes = 1e-3\n[evaluate]\ntasks = ['loss', 'x']\n[precision]\ncompute = "
      "'bf16'\n");
  const auto text = fixed_sections_to_toml(first) + "\n[objective]\nkind = \"next_token\"\n";
  const auto again = read_experiment_text(text, "config.toml", "/elsewhere", {});
  EXPECT_EQ(fixed_sections_to_toml(again) + "\n[objective]\nkind = \"next_token\"\n", text);
  EXPECT_EQ(again.data.train, (Mixture{{"/configs/a.h5", 1}, {"/b.h5", 0.3}}));
  EXPECT_EQ(again.run.out, (std::filesystem::current_path() / "runs").string());
  EXPECT_EQ(again.precision.compute, Compute::bf16);
  EXPECT_EQ(again.objective.kind(""), "next_token");
  for (const char* section : {"[run]", "[data]", "[batch]", "[parallel]", "[precision]", "[checkpoint]", "[evaluate]"})
    EXPECT_NE(text.find(section), std::string::npos) << section;
}

TEST(Experiment, ShippedConfigsAreRead) {
  int count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("configs")) {
    const auto folder = entry.path().parent_path().filename();
    if (entry.path().extension() != ".toml" || folder == "ablation") continue;  // studies have their own reader
    SCOPED_TRACE(entry.path().string());
    const auto experiment = read_experiment(entry.path(), {});
    EXPECT_FALSE(experiment.objective.kind("").empty());
    EXPECT_FALSE(experiment.architecture.kind("").empty());
    EXPECT_FALSE(experiment.data.train.empty());
    EXPECT_FALSE(experiment.data.validation.paths.empty());
    ++count;
  }
  EXPECT_GE(count, 8);
}

}  // namespace
}  // namespace lacuna
