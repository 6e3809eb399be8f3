// One job per run: an advisory lock (flock) on the file .lock in the run's folder. The kernel releases it when the process ends,
// however it ends, so nothing has to be cleaned up after a crash.
#pragma once
#include <filesystem>

namespace lacuna {

class RunLock {
 public:
  // Rank 0 takes it for the whole job. Throws Error(usage) naming the folder and the holder's host and process where another job
  // holds it, Error(disk) where the folder cannot be written or locked.
  explicit RunLock(const std::filesystem::path& folder);
  ~RunLock();
  RunLock(RunLock&& other) noexcept;
  RunLock& operator=(RunLock&&) = delete;
  // Whether a job holds the run in `folder` now; a folder that cannot be looked into counts as held.
  static bool held(const std::filesystem::path& folder);

 private:
  int descriptor_ = -1;
};

}  // namespace lacuna
