#include <cstdio>
#include <cstdlib>
#include <set>
#include <thread>

#include "data/error.h"
#include "launch/commands.h"
#include "launch/environment.h"
#include "launch/study/report.h"
#include "launch/study/run_study.h"
#include "trainer/checkpoint/run_lock.h"
#include "trainer/report/run_folder.h"

namespace lacuna {
namespace {

struct AblateArguments {
  std::string study;
  std::vector<std::string> sets, only;
  bool resume = false, dry_run = false, json = false;
  std::string command;  // as the user gave it
};

// A cell and all that it goes on from and learns from.
void want(const Study& study, const Cell& cell, std::set<std::string>& wanted) {
  wanted.insert(cell.name);
  for (const auto& other : {cell.from, cell.teacher}) {
    if (!other.empty()) want(study, study.cell(other), wanted);
  }
}

std::vector<PlannedRun> runs_of(const std::vector<PlannedRun>& plan, const Study& study, const std::vector<std::string>& only) {
  if (only.empty()) return plan;
  std::set<std::string> wanted;
  for (const auto& pattern : only) {
    const auto before = wanted.size();
    for (const auto& cell : study.cells) {
      if (matches_pattern(cell.name, pattern)) want(study, cell, wanted);
    }
    if (wanted.size() > before) continue;
    std::string names;
    for (const auto& cell : study.cells) names += (names.empty() ? "" : ", ") + cell.name;
    if (wanted.empty()) throw usage_error("--only " + pattern + " fits no cell (cells: " + names + ")");
  }
  std::vector<PlannedRun> runs;
  for (const auto& run : plan) {
    if (wanted.contains(run.cell)) runs.push_back(run);
  }
  return runs;
}

const char* state_word(RunState state) {
  return state == RunState::trained ? "trained" : state == RunState::unfinished ? "unfinished" : "to do";
}

int show_plan(const Study& study, const std::vector<PlannedRun>& runs, bool as_json) {
  auto json = nlohmann::ordered_json::array();
  double flops = 0;
  for (const auto& run : runs) {
    json.push_back({{"cell", run.cell}, {"seed", run.seed}, {"state", state_word(state_of(run))}, {"folder", run.folder.string()},
                    {"from", run.from.string()}, {"teacher", run.teacher.string()}, {"tasks", run.tasks}, {"facts", run.facts}});
    flops += run.flops();
  }
  if (as_json) {
    std::printf("%s\n", nlohmann::ordered_json{{"study", study.options.name}, {"runs", json}}.dump(2).c_str());
    return 0;
  }
  std::printf("%-40s %6s %11s %8s %12s %12s %12s\n", "cell", "seed", "state", "steps", "parameters", "tokens", "FLOPs");
  for (const auto& run : runs) {
    const auto fact = [&](const char* name) { return run.facts[name].get<double>(); };
    std::printf("%-40s %6lld %11s %8.0f %12s %12s %12s\n", run.cell.c_str(), static_cast<long long>(run.seed),
                state_word(state_of(run)), fact("steps"), value_text(fact("parameters")).c_str(),
                value_text(fact("steps") * fact("text_tokens_per_step")).c_str(), value_text(run.flops()).c_str());
  }
  std::printf("%zu runs, %s FLOPs, in %s\n", runs.size(), value_text(flops).c_str(), study.folder().c_str());
  for (const auto& claim : study.claims) std::printf("claim: %s\n       %s\n", claim.options.text.c_str(), check_text(claim).c_str());
  return 0;
}

// A folder that was made by another config is not this cell: its figures would be taken for the cell's.
void refuse_changed(const std::vector<PlannedRun>& runs) {
  for (const auto& run : runs) {
    const auto changed = changed_keys(run);
    if (changed.empty()) continue;
    std::string list;
    for (size_t i = 0; i < std::min<size_t>(changed.size(), 5); ++i) list += "\n  " + changed[i];
    throw usage_error(run.folder.string() + " was made by another config:" + list +
                      "\nremove that folder to run the cell anew, or give the study another name with --set study.name=...");
  }
}

Report write_reports(const Study& study, const std::vector<RunRecord>& records, const std::string& command) {
  auto report = make_report(study, records, command);
  replace_file(study.folder() / "cells.csv", cells_csv(study, records));
  replace_file(study.folder() / "report.md", report_markdown(report));
  replace_file(study.folder() / "report.html", report_html(report));
  return report;
}

nlohmann::ordered_json result_json(const Report& report) {
  nlohmann::ordered_json json{{"study", report.study.options.name}, {"folder", report.study.folder().string()}};
  json["runs"] = json["claims"] = nlohmann::ordered_json::array();
  for (const auto& record : report.records) {
    json["runs"].push_back({{"cell", record.cell}, {"seed", record.seed}, {"state", record.state}, {"reason", record.reason}, {"numbers", record.numbers}});
  }
  for (size_t i = 0; i < report.claims.size(); ++i) {
    const auto& result = report.claims[i];
    json["claims"].push_back({{"text", report.study.claims[i].options.text},
                              {"verdict", name_of(result.judgement.verdict)},
                              {"finding", finding_text(report.study.claims[i], result)},
                              {"matched", match_text(result)}});
  }
  return json;
}

void print_summary(const Report& report) {
  for (size_t i = 0; i < report.claims.size(); ++i) {
    const auto& claim = report.study.claims[i];
    std::printf("%-15s %s\n                %s\n", std::string(name_of(report.claims[i].judgement.verdict)).c_str(),
                claim.options.text.c_str(), finding_text(claim, report.claims[i]).c_str());
  }
  std::printf("report: %s\n", (report.study.folder() / "report.html").c_str());
}

// Cells side by side share the machine's cores, unless the user has said how many threads a process has.
void share_cores(const Study& study) {
  const int64_t cores = std::thread::hardware_concurrency(), processes = study.options.parallel * study.options.ranks;
  ::setenv("OMP_NUM_THREADS", std::to_string(std::max<int64_t>(1, cores / processes)).c_str(), /*overwrite=*/0);
}

int ablate(const AblateArguments& arguments) {
  if (under_mpi()) throw usage_error("start ablate without mpirun; study.ranks says how many ranks each cell has");
  const auto study = read_study(arguments.study, arguments.sets);
  const auto plan = plan_runs(study, arguments.dry_run);
  const auto runs = runs_of(plan, study, arguments.only);
  if (arguments.dry_run) return show_plan(study, runs, arguments.json);
  std::error_code error;
  std::filesystem::create_directories(study.folder(), error);
  if (error) throw disk_error(study.folder().string() + " cannot be made: " + error.message());
  const RunLock lock(study.folder());
  refuse_changed(runs);
  share_cores(study);
  const auto& stop_requested = listen_for_stop();
  const auto finished = [&](const std::vector<Failure>& failures) {
    write_reports(study, read_records(plan, failures), arguments.command);
  };
  const auto end = run_study(study, runs, stop_requested, finished);
  const auto report_records = read_records(plan, end.failures);
  const auto report = write_reports(study, report_records, arguments.command);
  if (arguments.json) {
    std::printf("%s\n", result_json(report).dump(2).c_str());
  } else {
    print_summary(report);
  }
  if (end.stopped) return static_cast<int>(ExitCode::stopped);
  if (end.failures.empty()) return 0;
  for (const auto& failure : end.failures) {
    std::fprintf(stderr, "lacuna: %s seed %lld failed: %s\n", failure.cell.c_str(), static_cast<long long>(failure.seed), failure.reason.c_str());
  }
  const int code = end.failures.front().exit_code;
  return code >= 2 && code <= 8 ? code : static_cast<int>(ExitCode::internal);
}

}  // namespace

void add_ablate(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("ablate", "Run every cell and seed of a study, and report");
  auto arguments = std::make_shared<AblateArguments>();
  command->add_option("STUDY", arguments->study, "study, TOML")->required();
  command->add_option("--set", arguments->sets,
                      "section.key=value, over every cell's config; study.key=value changes the study itself");
  command->add_option("--only", arguments->only, "these cells (* stands for any letters) and what they start or learn from");
  command->add_flag("--resume", arguments->resume,
                    "go on with what was begun; a second start does so anyway: cells that are done are skipped, others resume");
  command->add_flag("--dry-run", arguments->dry_run, "check every cell's config and list the runs with what they cost");
  command->add_flag("--json", arguments->json, "print the plan or the result as JSON");
  command->footer(
      "Example: lacuna ablate configs/ablation/meap_cpu.toml\n"
      "Leaves cells.csv, report.md and report.html in the study's folder. A cell that fails is tried once more; the others go on.\n"
      "Ctrl-C or SIGTERM lets the cells that run save, and leaves with code 75; the same command goes on.");
  command->callback([arguments, &chosen] {
    arguments->command = "lacuna ablate " + arguments->study;
    for (const auto& set : arguments->sets) arguments->command += " --set '" + set + "'";
    for (const auto& only : arguments->only) arguments->command += " --only " + only;
    chosen = [arguments] { return ablate(*arguments); };
  });
}

}  // namespace lacuna
