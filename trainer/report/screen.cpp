#include "trainer/report/screen.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace lacuna {
namespace {

std::string format(const char* pattern, auto... values) {
  std::string text(static_cast<size_t>(std::snprintf(nullptr, 0, pattern, values...)), '\0');
  std::snprintf(text.data(), text.size() + 1, pattern, values...);
  return text;
}

std::string bar(double share, size_t width) {
  const auto filled = static_cast<size_t>(share * static_cast<double>(width));
  return "[" + std::string(filled, '=') + std::string(width - filled, ' ') + "]";
}

}  // namespace

std::string format_table(const Table& rows) {
  size_t width = 0;
  for (const auto& [name, value] : rows) width = std::max(width, name.size());
  std::string text;
  for (const auto& [name, value] : rows) text += "  " + name + std::string(width - name.size() + 2, ' ') + value + "\n";
  return text;
}

std::string format_count(double value) {
  for (const auto& [unit, name] : {std::pair{1e12, "T"}, {1e9, "G"}, {1e6, "M"}}) {
    if (value >= unit) return format("%.2f%s", value / unit, name);
  }
  auto digits = format("%.0f", value);
  for (auto place = static_cast<ptrdiff_t>(digits.size()) - 3; place > 0; place -= 3)
    digits.insert(static_cast<size_t>(place), ",");
  return digits;
}

namespace {

// mpirun gives its processes a terminal of their own, whatever its own output is; then that is asked.
bool on_terminal() {
  if (::isatty(STDOUT_FILENO) == 0) return false;
  if (std::getenv("OMPI_COMM_WORLD_RANK") == nullptr) return true;
  std::error_code unknown;
  const auto launcher = std::filesystem::read_symlink("/proc/" + std::to_string(::getppid()) + "/fd/1", unknown);
  return !unknown && (launcher.string().starts_with("/dev/pts/") || launcher.string().starts_with("/dev/tty"));
}

}  // namespace

std::string format_bytes(double bytes) {
  for (const auto& [unit, name] : {std::pair{1024.0 * 1024 * 1024, "GiB"}, {1024.0 * 1024, "MiB"}}) {
    if (bytes >= unit) return format("%.2f %s", bytes / unit, name);
  }
  return format("%.1f KiB", bytes / 1024);
}

std::string format_share(double share) { return format("%.1f %%", 100 * share); }

std::string format_duration(double seconds) {
  const auto s = static_cast<long>(seconds + 0.5);
  if (s >= 3600) return format("%ldh %02ldm", s / 3600, s / 60 % 60);
  if (s >= 60) return format("%ldm %02lds", s / 60, s % 60);
  return format("%lds", s);
}

std::string format_flops(double flops_per_second, const Peaks& peaks) {
  if (peaks.promised <= 0 && peaks.measured <= 0) return format("%.1f GFLOP/s", flops_per_second / 1e9);
  const auto share = [&](double peak) { return format("%.1f %%", 100 * flops_per_second / peak); };
  auto text = format("%.1f TFLOP/s", flops_per_second / 1e12);
  if (peaks.promised > 0) text += "  MFU " + share(peaks.promised);
  if (peaks.measured > 0)
    text += peaks.promised > 0 ? " (" + share(peaks.measured) + " of measured)" : "  " + share(peaks.measured) + " of measured";
  return text;
}

Screen::Screen(bool enabled, int64_t total_steps, Peaks peaks)
    : enabled_(enabled), terminal_(on_terminal()), total_(total_steps), peaks_(peaks) {}

Screen::~Screen() { end_line(); }

void Screen::step(const StepReport& r) {
  smoothed_seconds_ = smoothed_seconds_ == 0 ? r.seconds : 0.95 * smoothed_seconds_ + 0.05 * r.seconds;
  const auto now = Clock::now();
  const auto pause = terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(1000);
  if (!enabled_ || (now - last_ < pause && r.step != total_)) return;
  last_ = now;
  const double share = static_cast<double>(r.step) / static_cast<double>(std::max<int64_t>(total_, 1));
  auto line = "step " + std::to_string(r.step) + "/" + std::to_string(total_) + format("  loss %.4f", r.loss) + "  " +
              format_count(r.tokens_per_second) + " tokens/s  " + format_flops(r.flops_per_second, peaks_) +
              format("  lr %.2e  norm %.2f", r.learning_rate, r.grad_norm) + "  left " +
              format_duration(smoothed_seconds_ * static_cast<double>(total_ - r.step));
  if (terminal_) {
    std::printf("\r\x1b[2K%s %s", bar(share, 24).c_str(), line.c_str());
    open_line_ = true;
  } else {
    std::printf("%s\n", line.c_str());
  }
  std::fflush(stdout);
}

void Screen::note(const std::string& line) {
  if (!enabled_) return;
  end_line();
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

void Screen::end_line() {
  if (open_line_) std::printf("\n");
  open_line_ = false;
}

}  // namespace lacuna
