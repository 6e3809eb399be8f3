// Runs every cell of a study that is not done: some at a time, a cell after the one that it starts from.
#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "launch/study/job.h"

namespace lacuna {

struct Failure {
  std::string cell;
  int64_t seed = 0;
  std::string reason;
  int exit_code = 0;
};

struct StudyEnd {
  bool stopped = false;  // on request; the children have saved
  std::vector<Failure> failures;
};

// `runs`: those of the plan that are wanted, with all that they start from. `finished` is called after each run that has ended,
// with those that failed so far. Progress goes to standard error.
StudyEnd run_study(const Study& study, const std::vector<PlannedRun>& runs, const std::atomic<bool>& stop_requested,
                   const std::function<void(const std::vector<Failure>&)>& finished);

}  // namespace lacuna
