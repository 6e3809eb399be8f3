// How far a long task is, on standard error: a bar that is redrawn a few times a second on a terminal, and a line every ten
// seconds elsewhere. Says rate and time left.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace lacuna {

class Progress {
 public:
  // `total` in units, 0 when it is not known. `unit` is B for bytes, which are printed as kB, MB, GB.
  Progress(std::string label, int64_t total, std::string unit);
  ~Progress();  // clears an unfinished bar, so that an error message has a line for itself
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(int64_t done);
  void finish();  // draws the full bar and ends its line

  // What is shown after `seconds` of work; 0 < `done`.
  std::string line(int64_t done, double seconds) const;

 private:
  using Clock = std::chrono::steady_clock;
  void draw(int64_t done);

  std::string label_, unit_;
  int64_t total_;
  bool terminal_;
  Clock::time_point start_, last_;
  int64_t done_ = 0;
  bool drawn_ = false;
};

}  // namespace lacuna
