// What a person sees of a study on its way: a line with what runs, how much is done and the time left, redrawn on a terminal, and
// every half minute elsewhere. On standard error, since standard output is for results.
#pragma once
#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "launch/study/job.h"

namespace lacuna {

class StudyScreen {
 public:
  explicit StudyScreen(const std::vector<PlannedRun>& runs);
  ~StudyScreen();
  StudyScreen(const StudyScreen&) = delete;
  StudyScreen& operator=(const StudyScreen&) = delete;
  void show(const std::vector<Job>& jobs);
  void note(const std::string& line);       // a line that stays
  void note_once(const std::string& line);  // where it was not said before

 private:
  using Clock = std::chrono::steady_clock;
  double work_done(const std::vector<Job>& jobs) const;  // FLOPs
  void end_line();

  bool terminal_, open_line_ = false;
  double work_ = 0, before_ = -1;  // FLOPs of all runs; those that were done before this start
  Clock::time_point began_, last_{};
  std::set<std::string> said_;
};

}  // namespace lacuna
