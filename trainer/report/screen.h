// What rank 0 shows a person: a table of everything that was resolved, then the course of training.
#pragma once
#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace lacuna {

using Table = std::vector<std::pair<std::string, std::string>>;

// "name   value" lines, aligned.
std::string format_table(const Table& rows);
std::string format_count(double value);    // 12,345 or 1.23M
std::string format_bytes(double bytes);
std::string format_share(double share);    // 45.1 %
std::string format_duration(double seconds);

struct StepReport {
  int64_t step = 0;
  double loss = 0, tokens_per_second = 0, learning_rate = 0, grad_norm = 0, seconds = 0;
  double flops_per_second = 0;  // model FLOPs
  int64_t tokens = 0, tokens_seen = 0;
  double targets = 0;  // that had weight
  std::vector<std::pair<std::string, double>> metrics;  // the objective's own
};

// FLOP/s of all GPUs together, which a step's are compared with; 0 = not known.
struct Peaks {
  double promised = 0, measured = 0;
};

// FLOP/s with their share of the peaks: "447.1 TFLOP/s  MFU 45.2 % (56.5 % of measured)".
std::string format_flops(double flops_per_second, const Peaks& peaks);

// One line that is redrawn on a terminal; on anything else a line a second.
class Screen {
 public:
  Screen(bool enabled, int64_t total_steps, Peaks peaks = {});
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  void step(const StepReport& report);
  void note(const std::string& line);  // a line that stays

 private:
  using Clock = std::chrono::steady_clock;
  void end_line();

  bool enabled_, terminal_, open_line_ = false;
  int64_t total_;
  Peaks peaks_;
  double smoothed_seconds_ = 0;
  Clock::time_point last_{};
};

}  // namespace lacuna
