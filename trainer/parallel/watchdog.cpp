#include "trainer/parallel/watchdog.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "data/error.h"

namespace lacuna {
namespace {

constexpr std::chrono::duration<double> kMostForReport{5};

[[noreturn]] void leave() { _exit(static_cast<int>(ExitCode::communication)); }

}  // namespace

Watchdog::Watchdog(double limit, int rank, std::shared_ptr<const FlightRecorder> recorder, Report report)
    : limit_(limit),
      rank_(rank),
      recorder_(std::move(recorder)),
      report_(std::move(report)),
      last_beat_(std::chrono::steady_clock::now()) {
  if (limit > 0) thread_ = std::thread([this] { watch(); });
}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::beat(int64_t step) {
  const std::lock_guard lock(mutex_);
  step_ = step;
  last_beat_ = std::chrono::steady_clock::now();
}

void Watchdog::watch() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    const std::chrono::duration<double> silence = std::chrono::steady_clock::now() - last_beat_;
    if (silence >= limit_) {
      const int64_t step = step_;
      lock.unlock();
      fire(step, silence.count());
    }
    changed_.wait_for(lock, limit_ - silence, [this] { return stopped_; });
  }
}

void Watchdog::fire(int64_t step, double silence) {
  // The report writes to disks and terminals that may be what hangs.
  std::thread([this] {
    std::this_thread::sleep_for(std::min(limit_, kMostForReport));
    leave();
  }).detach();
  char head[160];
  std::snprintf(head, sizeof head, "watchdog: rank %d made no progress for %.1f s at step %lld\n", rank_, silence,
                static_cast<long long>(step));
  try {
    report_(head + (recorder_ ? recorder_->report() : std::string()));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%sand its report could not be written: %s\n", head, error.what());
  }
  leave();
}

}  // namespace lacuna
