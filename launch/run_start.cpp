#include "launch/run_start.h"

#include <ATen/ops/full.h>

#include <cstdio>

#include "trainer/checkpoint/checkpoints.h"
#include "trainer/report/run_folder.h"

namespace lacuna {
namespace {

void make_folders(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder / "log", error);
  if (!error) std::filesystem::create_directories(folder / "checkpoints", error);
  if (error) throw disk_error(folder.string() + " cannot be made: " + error.message());
}

// Rank 0's part: true where there is a checkpoint to go on from.
void open_folder(RunStart& run, const std::string& resolved, bool resume, int64_t steps) {
  const bool exists = std::filesystem::exists(run.folder / "config.toml");
  if (exists && !resume) {
    throw usage_error(run.folder.string() + " holds a run already; go on with --resume, or choose another --set run.name=...");
  }
  make_folders(run.folder);
  run.lock.emplace(run.folder);
  if (resume && !list_checkpoints(run.folder / "checkpoints").empty()) {
    auto found = find_checkpoint(run.folder, Verify::full, OnDamage::rename);
    for (const auto& bad : found.damaged) {
      std::fprintf(stderr, "lacuna: %s is damaged (%s); it is now %s and an older checkpoint is used\n", bad.folder.c_str(),
                   bad.reason.c_str(), bad.renamed.filename().c_str());
    }
    run.checkpoint = std::move(found.checkpoint);
  } else if (resume) {
    std::fprintf(stderr, "lacuna: %s has no checkpoint yet; the run begins at step 1\n", run.folder.c_str());
  }
  const int64_t done = run.checkpoint ? run.checkpoint->meta().step : 0;
  run.nothing_left = done >= steps;
  if (run.nothing_left) {
    std::printf("%s has done its %lld steps already; raise run.steps to go on\n", run.folder.c_str(),
                static_cast<long long>(steps));
    write_status(run.folder, {.state = "finished", .exit_code = 0, .step = done, .message = {}});
    return;
  }
  if (std::filesystem::exists(run.folder / "metrics.jsonl")) cut_metrics(run.folder / "metrics.jsonl", done);
  replace_file(run.folder / "config.toml", resolved);
  write_status(run.folder, {.state = "running", .exit_code = 0, .step = done, .message = {}});
}

}  // namespace

RunStart start_run(const Experiment& experiment, const std::string& resolved, bool resume, int64_t steps, Communicator& world) {
  RunStart run;
  run.folder = std::filesystem::path(experiment.run.out) / experiment.run.name;
  if (world.rank() == 0) open_folder(run, resolved, resume, steps);
  auto nothing_left = at::full({1}, run.nothing_left ? 1 : 0, at::kLong);
  world.broadcast(nothing_left, 0);
  run.nothing_left = nothing_left.item<int64_t>() != 0;
  run.checkpoint = share_checkpoint(std::move(run.checkpoint), world);
  if (run.checkpoint) {
    run.first_step = run.checkpoint->meta().step + 1;
    run.tokens_seen = run.checkpoint->meta().tokens_seen;
  }
  world.barrier();  // the folder stands before anyone writes in it
  return run;
}

}  // namespace lacuna
