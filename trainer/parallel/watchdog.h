// Ends this process when it makes no progress: a thread of its own, which calls no MPI. One rank that leaves ends the job, since
// the launcher ends the others. A cut link is first the launcher's business, so its keep-alive must be shorter than the limit
// here (launch/slurm and the README give both): a watchdog that fires first leaves mpirun waiting for ever.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "trainer/parallel/flight_recorder.h"

namespace lacuna {

class Watchdog {
 public:
  // Writes the text where a user finds it: the rank's log and status.json. It runs in the watchdog's thread.
  using Report = std::function<void(const std::string& text)>;

  // Whether something has failed that this process may wait for in vain, such as Mesh::failure. Called from the watchdog's thread
  // a few times a second; nullopt while all is well.
  using Poll = std::function<std::optional<std::string>()>;

  // Without a beat for `limit` seconds the report is written, with the rank, the step, the collective under way and the last ones
  // before it; then the process leaves with the code of communication failures, even if the report itself hangs. What `poll`
  // tells ends the process in the same way at once. A limit of 0 watches nothing. `recorder` and `poll` may be null.
  Watchdog(double limit, int rank, std::shared_ptr<const FlightRecorder> recorder, Report report, Poll poll = nullptr);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // `step` is under way and something of it has been done.
  void beat(int64_t step);

 private:
  void watch();
  [[noreturn]] void fire(const std::string& why);

  const std::chrono::duration<double> limit_;
  const int rank_;
  const std::shared_ptr<const FlightRecorder> recorder_;
  const Report report_;
  const Poll poll_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
  int64_t step_ = 0;
  std::chrono::steady_clock::time_point last_beat_;
  std::thread thread_;
};

}  // namespace lacuna
