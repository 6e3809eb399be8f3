// What a run's folder says of it: whether it is done, is to go on, or is of another config than the study's.
#include "launch/study/plan.h"

#include <gtest/gtest.h>

#include <fstream>

#include "launch/assemble.h"
#include "tests/support/temporary_folder.h"
#include "trainer/report/run_folder.h"

namespace lacuna {
namespace {

class PlanTest : public ::testing::Test {
 protected:
  PlanTest() {
    run.folder = folder / "seed-1";
    run.facts = {{"steps", 20}, {"flops_per_step", 3.0}};
    run.config = resolved({});
  }
  static std::string resolved(const std::vector<std::string>& sets) {
    return resolved_config(read_experiment_text("[run]\nsteps = 20\n[objective]\nkind = \"next_token\"\n", "test", ".", sets));
  }
  void made_by(const std::vector<std::string>& sets) {
    std::filesystem::create_directories(run.folder);
    std::ofstream(run.folder / "config.toml") << resolved(sets);
  }
  void stands(const std::string& state, int64_t step) {
    write_status(run.folder, {.state = state, .exit_code = 0, .step = step, .message = {}});
  }
  testing::TemporaryFolder folder;
  PlannedRun run;
};

TEST_F(PlanTest, ARunIsTrainedOnceItFinishedAllItsSteps) {
  EXPECT_EQ(state_of(run), RunState::absent);
  made_by({});
  EXPECT_EQ(state_of(run), RunState::unfinished) << "there is no status yet";
  for (const char* state : {"running", "stopped", "failed"}) {
    stands(state, 20);
    EXPECT_EQ(state_of(run), RunState::unfinished) << state;
  }
  stands("finished", 12);
  EXPECT_EQ(state_of(run), RunState::unfinished) << "it had fewer steps then";
  stands("finished", 20);
  EXPECT_EQ(state_of(run), RunState::trained);
  std::ofstream(run.folder / "status.json") << "{\"state\": \"fini";
  EXPECT_EQ(state_of(run), RunState::unfinished);
  EXPECT_EQ(run.flops(), 60);
}

TEST_F(PlanTest, AnotherConfigIsToldKeyByKey) {
  EXPECT_TRUE(changed_keys(run).empty()) << "there is no run yet";
  made_by({});
  EXPECT_TRUE(changed_keys(run).empty());
  made_by({"optimizer.learning_rate=0.5", "batch.global_size=4"});
  EXPECT_EQ(changed_keys(run), (std::vector<std::string>{"batch.global_size = 4, now 16", "optimizer.learning_rate = 0.5, now 0.001"}));
}

TEST_F(PlanTest, WhatChangesNoResultIsNoOtherConfig) {
  made_by({"run.threads=3", "run.fault='nan@0,3'", "run.watchdog=5", "run.stop_after=4", "run.tensorboard=false"});
  EXPECT_TRUE(changed_keys(run).empty());
}

TEST_F(PlanTest, AConfigOfAProgramThatKnewFewerKeysCountsTheirDefaults) {
  made_by({});
  auto text = resolved({});
  const auto from = text.find("watchdog"), seed = text.find("seed = ");
  text.erase(from, text.find('\n', from) - from + 1);
  text.erase(seed, text.find('\n', seed) - seed + 1);
  std::ofstream(run.folder / "config.toml") << text;
  EXPECT_TRUE(changed_keys(run).empty());
}

TEST_F(PlanTest, AnUnreadableConfigIsAnotherOne) {
  made_by({});
  std::ofstream(run.folder / "config.toml", std::ios::app) << "\n[optimizer]\nnew_key = 3\n";
  EXPECT_FALSE(changed_keys(run).empty());
}

}  // namespace
}  // namespace lacuna
