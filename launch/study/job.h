// One run of a study on its way: trained, then evaluated, each by a child process; what is done already is not done again. A
// process that fails is started once more, and training goes on from its newest checkpoint then.
#pragma once
#include <optional>
#include <string>

#include "launch/study/child_process.h"
#include "launch/study/plan.h"

namespace lacuna {

enum class JobState { waiting, training, evaluating, done, failed };

class Job {
 public:
  Job(const Study& study, const PlannedRun& run);

  const PlannedRun& run() const { return run_; }
  JobState state() const { return state_; }
  bool running() const { return state_ == JobState::training || state_ == JobState::evaluating; }
  bool over() const { return state_ == JobState::done || state_ == JobState::failed; }
  const std::string& failure() const { return failure_; }
  int exit_code() const { return exit_code_; }  // of the failure

  // Whether another process still holds the run's folder, such as one that a killed study has left saving.
  bool held() const;
  void start();                                // the next process; waiting becomes training or evaluating, or done
  void fail(const std::string& why, int code);  // without having run
  // Looks after the process. True when it has ended, which moves the job on. `stopping`: nothing new is to be started.
  bool advance(bool stopping);
  void stop();

  int64_t step() const;  // last one in metrics.jsonl

 private:
  void train();
  void evaluate();
  void retry_or_fail(int code, bool stopping);
  bool is_evaluated() const;
  bool keep_evaluation() const;
  std::vector<std::string> launched(std::vector<std::string> arguments) const;
  std::vector<std::string> evaluation_command() const;
  std::string last_words() const;

  const Study& study_;
  const PlannedRun& run_;
  JobState state_ = JobState::waiting;
  std::optional<ChildProcess> child_;
  int failures_ = 0, exit_code_ = 0;
  std::string failure_;
};

// cells/CELL/seed-N.evaluation.json: {"command": [...], "lines": [...]}, the lines as `lacuna evaluate --json` prints them.
std::filesystem::path evaluation_file(const PlannedRun& run);

}  // namespace lacuna
