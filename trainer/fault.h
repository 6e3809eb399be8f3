// Faults on purpose, so that what happens after them can be tested: run.fault = "KIND@RANK,STEP".
#pragma once
#include <string>

namespace lacuna {

enum class FaultKind { none, raise, leave, kill, stop, not_a_number, slow };

class Fault {
 public:
  Fault() = default;
  // Throws a usage error that lists the kinds if `text` is neither empty nor KIND@RANK,STEP.
  explicit Fault(const std::string& text);
  // Called at the start of each step; may throw, leave, kill or stop this process.
  void strike(int rank, int64_t step) const;
  // Whether this step's loss is to be spoilt.
  bool spoils(int rank, int64_t step) const { return kind_ == FaultKind::not_a_number && rank == rank_ && step == step_; }

 private:
  FaultKind kind_ = FaultKind::none;
  int rank_ = -1;
  int64_t step_ = -1;
};

}  // namespace lacuna
