#include "launch/study/plan.h"

#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "launch/assemble.h"
#include "launch/run_facts.h"
#include "trainer/config/to_toml.h"

namespace lacuna {
namespace {

std::filesystem::path run_folder(const Study& study, const std::string& cell, int64_t seed) {
  return study.folder() / "cells" / cell / ("seed-" + std::to_string(seed));
}

PlannedRun plan_run(const Study& study, const Cell& cell, int64_t seed) {
  PlannedRun run{.cell = cell.name,
                 .seed = seed,
                 .sets = study.options.set,
                 .folder = run_folder(study, cell.name, seed),
                 .from = cell.from.empty() ? "" : run_folder(study, cell.from, seed),
                 .teacher = cell.teacher.empty() ? "" : run_folder(study, cell.teacher, seed),
                 .tasks = cell.tasks,
                 .config = {},
                 .facts = {}};
  for (const auto* more : {&cell.sets, &study.sets}) run.sets.insert(run.sets.end(), more->begin(), more->end());
  run.sets.push_back("run.name=" + lacuna::quoted(run.folder.filename().string()));
  run.sets.push_back("run.out=" + lacuna::quoted(run.folder.parent_path().string()));
  run.sets.push_back("run.seed=" + std::to_string(seed));
  if (!run.teacher.empty()) run.sets.push_back("objective.teacher=" + lacuna::quoted(run.teacher.string()));
  if (!run.from.empty()) run.sets.push_back("run.start_from=" + lacuna::quoted(run.from.string()));
  return run;
}

// What is told of a run before it starts, the same for every seed; and whether it can be trained and evaluated.
nlohmann::ordered_json facts_of(const Study& study, const PlannedRun& run, const Experiment& experiment, Purpose purpose) {
  probe_corpora(experiment);
  const auto ranks = static_cast<int>(study.options.ranks);
  const auto layout = lay_out(experiment, ranks, purpose);
  check_fit(experiment, layout.tensor);
  const auto mesh = make_planned_mesh(layout.world, layout.tensor);
  const auto samples = sample_spec_of(experiment);
  auto sets = run.sets;
  sets.insert(sets.end(), study.options.evaluate_set.begin(), study.options.evaluate_set.end());
  const auto judged = read_experiment(study.base, sets);
  check_evaluations(judged, run.tasks.empty() ? judged.evaluate.tasks : run.tasks, samples,
                    !judged.data.validation.paths.empty());
  const auto objective = make_objective(experiment, samples);
  const auto network = make_network(experiment, samples, *objective, *mesh);
  return run_facts(experiment, layout, *network, *objective);
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// "section.key" -> value, of a resolved config.
std::map<std::string, std::string> values_of(const std::string& config) {
  static const std::set<std::string> change_nothing = {"run.fault",   "run.threads",    "run.watchdog",
                                                       "run.profile", "run.stop_after", "run.tensorboard"};
  std::map<std::string, std::string> values;
  std::istringstream lines(config);
  std::string section, line;
  while (std::getline(lines, line)) {
    const auto equals = line.find(" = ");
    if (line.starts_with("[")) {
      section = line.substr(1, line.find(']') - 1);
    } else if (equals != std::string::npos) {
      const auto key = section + "." + line.substr(0, equals);
      if (!change_nothing.contains(key)) values[key] = line.substr(equals + 3);
    }
  }
  return values;
}

}  // namespace

std::vector<PlannedRun> plan_runs(const Study& study, bool dry_run) {
  std::vector<PlannedRun> runs;
  std::map<std::string, nlohmann::ordered_json> facts;
  for (const auto seed : study.options.seeds) {
    for (const auto& cell : study.cells) {
      auto run = plan_run(study, cell, seed);
      try {
        const auto experiment = read_experiment(study.base, run.sets);
        run.config = resolved_config(experiment);
        if (!facts.contains(cell.name)) {
          facts[cell.name] = facts_of(study, run, experiment, dry_run ? Purpose::dry_run : Purpose::run);
        }
      } catch (const Error& error) {
        throw Error(error.code(), "cell " + cell.name + ": " + error.what());
      }
      run.facts = facts[cell.name];
      runs.push_back(std::move(run));
    }
  }
  return runs;
}

RunState state_of(const PlannedRun& run) {
  if (!std::filesystem::exists(run.folder / "config.toml")) return RunState::absent;
  const auto status = nlohmann::json::parse(read_file(run.folder / "status.json"), nullptr, false);
  const bool finished = !status.is_discarded() && status.value("state", "") == "finished" &&
                        status.value("step", int64_t{0}) >= run.facts["steps"].get<int64_t>();
  return finished ? RunState::trained : RunState::unfinished;
}

std::vector<std::string> changed_keys(const PlannedRun& run) {
  if (!std::filesystem::exists(run.folder / "config.toml")) return {};
  std::map<std::string, std::string> old;
  try {  // an older program knew fewer keys; those it did not know have their defaults
    old = values_of(resolved_config(read_experiment(run.folder / "config.toml", {})));
  } catch (const Error&) {
    old = values_of(read_file(run.folder / "config.toml"));
  }
  const auto now = values_of(run.config);
  std::vector<std::string> changed;
  for (const auto& [key, value] : now) {
    const auto before = old.find(key);
    if (before == old.end()) {
      changed.push_back(key + " is new, " + value);
    } else if (before->second != value) {
      changed.push_back(key + " = " + before->second + ", now " + value);
    }
  }
  for (const auto& [key, value] : old) {
    if (!now.contains(key)) changed.push_back(key + " = " + value + ", now absent");
  }
  return changed;
}

}  // namespace lacuna
