// The process among its peers: MPI, signals, threads, and how it leaves.
#pragma once
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace lacuna {

// Started by mpirun or srun, as the launcher's own variables say.
bool under_mpi();
// This process's number in the job before MPI is up; 0 where it was started plain.
int launcher_rank();

// Settings that every command wants before its first tensor: an allocator that keeps its memory, HDF5 without plugins.
void prepare_process();

// Initialises MPI where the process was started under it, and finalises it when it goes.
class MpiSession {
 public:
  MpiSession();
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  int rank() const { return rank_; }
  int size() const { return size_; }

 private:
  int rank_ = 0, size_ = 1;
};

// CPU threads of this rank: `asked`, or OMP_NUM_THREADS, or the machine's cores over its ranks.
int set_threads(int64_t asked);

// SIGUSR1, SIGTERM and SIGINT ask for a stop after the current step; a second one leaves at once.
const std::atomic<bool>& listen_for_stop();

// Runs a command and turns what it throws into a message and the exit code. Under MPI a failing rank ends the whole job with it.
int run_to_exit_code(const std::function<int()>& command);
// While it lives, a failure of the command is noted besides in the run's status.json, with the last step that was done. The step
// is asked for as the exception leaves the scope of the note, when what it asks still stands; of several notes the innermost
// counts.
class FailureNote {
 public:
  FailureNote(std::filesystem::path run, std::function<int64_t()> step);
  ~FailureNote();
  FailureNote(const FailureNote&) = delete;
  FailureNote& operator=(const FailureNote&) = delete;

 private:
  std::filesystem::path run_;
  std::function<int64_t()> step_;
  int exceptions_;  // that were under way when the note was made
};

}  // namespace lacuna
