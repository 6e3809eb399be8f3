#include "trainer/parallel/watchdog.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "data/error.h"

namespace lacuna {
namespace {

constexpr std::chrono::duration<double> kMostForReport{5}, kPollInterval{0.2};

[[noreturn]] void leave() { _exit(static_cast<int>(ExitCode::communication)); }

}  // namespace

Watchdog::Watchdog(double limit, int rank, std::shared_ptr<const FlightRecorder> recorder, Report report, Poll poll)
    : limit_(limit),
      rank_(rank),
      recorder_(std::move(recorder)),
      report_(std::move(report)),
      poll_(std::move(poll)),
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
    const int64_t step = step_;
    lock.unlock();
    if (silence >= limit_) {
      char why[96];
      std::snprintf(why, sizeof why, "made no progress for %.1f s at step %lld", silence.count(), static_cast<long long>(step));
      fire(why);
    }
    if (const auto failure = poll_ ? poll_() : std::nullopt) {
      fire("cannot go on at step " + std::to_string(step) + ": " + *failure);
    }
    lock.lock();
    const auto next = limit_ - silence;
    changed_.wait_for(lock, poll_ ? std::min(next, kPollInterval) : next, [this] { return stopped_; });
  }
}

void Watchdog::fire(const std::string& why) {
  // The report writes to disks and terminals that may be what hangs.
  std::thread([this] {
    std::this_thread::sleep_for(std::min(limit_, kMostForReport));
    leave();
  }).detach();
  const std::string head = "watchdog: rank " + std::to_string(rank_) + " " + why + "\n";
  try {
    report_(head + (recorder_ ? recorder_->report() : std::string()));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%sand its report could not be written: %s\n", head.c_str(), error.what());
  }
  leave();
}

}  // namespace lacuna
