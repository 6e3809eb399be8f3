// The runs of a study, one per seed and cell, each with its whole config resolved before the first of them starts.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "launch/study/study.h"

namespace lacuna {

struct PlannedRun {
  std::string cell;
  int64_t seed = 0;
  std::vector<std::string> sets;   // over the study's base config
  std::filesystem::path folder;    // the run's, STUDY/cells/CELL/seed-N
  std::filesystem::path from;      // the run's folder whose checkpoint it starts from; empty = none
  std::filesystem::path teacher;   // the run's folder that teaches it; empty = none
  std::vector<std::string> tasks;
  std::string config;              // resolved
  nlohmann::ordered_json facts;    // run_facts, as run.json will have them
  double flops() const { return facts["flops_per_step"].get<double>() * facts["steps"].get<double>(); }

  // Beside the run's folder, which is its own.
  std::filesystem::path beside(const std::string& ending) const { return folder.string() + ending; }
};

// Seed by seed, and within a seed in the order of the cells, so that a study which is cut short has whole seeds. Reads every cell's
// config and builds its network without memory for its values; throws what train would throw, with the cell's name.
// A dry run needs no device.
std::vector<PlannedRun> plan_runs(const Study& study, bool dry_run);

// How far a run has come, as its folder tells.
enum class RunState { absent, unfinished, trained };
RunState state_of(const PlannedRun& run);
// The keys in which the run in the folder was made by another config than the plan's: "optimizer.learning_rate = 0.001, now 0.01".
// Keys that change no result do not count. Empty where there is no run, or the config is the same.
std::vector<std::string> changed_keys(const PlannedRun& run);

}  // namespace lacuna
