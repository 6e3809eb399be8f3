// What lies between a config and the first step: the run's folder, its lock, and where to go on from.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/run_lock.h"
#include "trainer/config/experiment.h"
#include "trainer/parallel/communicator.h"

namespace lacuna {

struct RunStart {
  std::filesystem::path folder;
  std::optional<RunLock> lock;           // rank 0 alone
  std::optional<Checkpoint> checkpoint;  // to go on from
  int64_t first_step = 1, tokens_seen = 0;
  bool nothing_left = false;  // the run has all its steps
};

// Collective. Rank 0 makes and locks the folder, writes config.toml and status.json, and, on resume, finds the newest good
// checkpoint and cuts metrics.jsonl back to it; the others open what it found. Throws a usage Error for a run that exists already
// (without `resume`) or that another job holds, Error(checkpoint) where all checkpoints are damaged.
RunStart start_run(const Experiment& experiment, const std::string& resolved, bool resume, int64_t steps, Communicator& world);

}  // namespace lacuna
