// The last collectives of this process, so that a hang can be explained: communicators write, the watchdog reads. After the idea
// of PyTorch's Flight Recorder.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace lacuna {

class FlightRecorder {
 public:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    int64_t number = -1;  // of the collective in this process, from 0; the same on ranks that walk in step
    std::string axis;
    const char* collective = "";
    int64_t bytes = 0;  // of this rank's input
    Clock::time_point start;
    Clock::time_point end;  // start while it is under way
    bool done = false;
  };

  explicit FlightRecorder(size_t capacity = 256) : entries_(capacity) {}

  // `collective` must be a literal. Returns the entry's number.
  int64_t start(const std::string& axis, const char* collective, int64_t bytes);
  void done(int64_t number);

  // Oldest first, at most `count`.
  std::vector<Entry> last(size_t count) const;
  // Those of the ring that are under way, oldest first.
  std::vector<Entry> in_flight() const;
  // The collectives under way with their ages, and the last `count` of all, one per line.
  std::string report(size_t count = 10) const;

 private:
  mutable std::mutex mutex_;
  std::vector<Entry> entries_;  // number n lies at n % capacity
  int64_t next_ = 0;
};

// One collective's entry, done at the end of its life; a null recorder records nothing.
class FlightEntry {
 public:
  FlightEntry(std::shared_ptr<FlightRecorder> recorder, const std::string& axis, const char* collective, int64_t bytes)
      : recorder_(std::move(recorder)), number_(recorder_ ? recorder_->start(axis, collective, bytes) : -1) {}
  FlightEntry(FlightEntry&& other) noexcept = default;
  FlightEntry& operator=(FlightEntry&&) = delete;
  ~FlightEntry() { done(); }
  void done() {
    if (recorder_) recorder_->done(number_);
    recorder_.reset();
  }

 private:
  std::shared_ptr<FlightRecorder> recorder_;
  int64_t number_;
};

}  // namespace lacuna
