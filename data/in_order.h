// Work on numbered things by several threads, whose results come in the order of the numbers.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace lacuna {

// Calls `work(i)` for i in [0, count) on `threads` threads and `take(i, result)` in order on the calling thread, which holds a
// bounded number of results ahead. An exception of `work(i)` is thrown when it is i's turn; what either throws ends the threads.
template <class Result>
void in_order(int64_t count, int64_t threads, const std::function<Result(int64_t)>& work,
              const std::function<void(int64_t, Result)>& take) {
  struct Outcome {
    Result result;
    std::exception_ptr error;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::map<int64_t, Outcome> done;
  int64_t next = 0, taken = 0;
  bool stopped = false;
  const auto run = [&] {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] { return stopped || next >= count || next < taken + 4 * threads; });
      if (stopped || next >= count) return;
      const int64_t i = next++;
      lock.unlock();
      Outcome outcome;
      try {
        outcome.result = work(i);
      } catch (...) {
        outcome.error = std::current_exception();
      }
      lock.lock();
      done.emplace(i, std::move(outcome));
      changed.notify_all();
    }
  };
  std::vector<std::jthread> workers;
  struct Stop {
    std::mutex& mutex;
    std::condition_variable& changed;
    bool& stopped;
    ~Stop() {
      const std::lock_guard lock(mutex);
      stopped = true;
      changed.notify_all();
    }
  } stop{mutex, changed, stopped};  // before the workers are joined
  for (int64_t t = 0; t < threads; ++t) workers.emplace_back(run);
  for (int64_t i = 0; i < count; ++i) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return done.count(i) > 0; });
    auto outcome = std::move(done.extract(i).mapped());
    taken = i + 1;
    changed.notify_all();
    lock.unlock();
    if (outcome.error) std::rethrow_exception(outcome.error);
    take(i, std::move(outcome.result));
  }
}

}  // namespace lacuna
