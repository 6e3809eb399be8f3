#include "data/progress.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace lacuna {
namespace {

constexpr int kBarWidth = 24;
constexpr std::chrono::milliseconds kOnTerminal{200};
constexpr std::chrono::seconds kElsewhere{10};

// Three significant digits, by thousands: 1.23 M.
std::string amount(double value, const std::string& unit) {
  constexpr std::array kPrefixes = {"", "k", "M", "G", "T", "P"};
  size_t prefix = 0;
  while (value >= 999.5 && prefix + 1 < kPrefixes.size()) {
    value /= 1000;
    ++prefix;
  }
  const int decimals = prefix == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f %s", decimals, value, kPrefixes[prefix]);
  return text.data() + unit;
}

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(std::min(seconds, 3.6e8)));
  std::array<char, 64> text{};
  if (whole >= 3600) {
    std::snprintf(text.data(), text.size(), "%lld:%02lld:%02lld", static_cast<long long>(whole / 3600),
                  static_cast<long long>(whole / 60 % 60), static_cast<long long>(whole % 60));
  } else {
    std::snprintf(text.data(), text.size(), "%lld:%02lld", static_cast<long long>(whole / 60),
                  static_cast<long long>(whole % 60));
  }
  return text.data();
}

}  // namespace

Progress::Progress(std::string label, int64_t total, std::string unit)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      last_(start_) {}

Progress::~Progress() {
  if (terminal_ && drawn_) std::fputs("\r\033[K", stderr);
}

std::string Progress::line(int64_t done, double seconds) const {
  std::string text = label_ + "  ";
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  if (total_ > 0) {
    const double share = std::clamp(static_cast<double>(done) / static_cast<double>(total_), 0.0, 1.0);
    const int filled = static_cast<int>(share * kBarWidth);
    std::array<char, 16> percent{};
    std::snprintf(percent.data(), percent.size(), "%3d%%  ", static_cast<int>(share * 100));
    text += '[' + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "] " + percent.data();
  }
  text += amount(static_cast<double>(done), unit_);
  if (total_ > 0) text += " of " + amount(static_cast<double>(total_), unit_);
  text += "  " + amount(rate, unit_) + "/s  ";
  const bool ended = total_ > 0 && done >= total_;
  if (total_ > 0 && !ended && rate > 0) return text + duration(static_cast<double>(total_ - done) / rate) + " left";
  return text + "in " + duration(seconds);
}

void Progress::draw(int64_t done) {
  last_ = Clock::now();
  const std::string text = line(done, std::chrono::duration<double>(last_ - start_).count());
  std::fprintf(stderr, terminal_ ? "\r%s\033[K" : "%s\n", text.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::update(int64_t done) {
  done_ = done;
  const auto since = Clock::now() - last_;
  if (terminal_ ? since >= kOnTerminal : since >= kElsewhere) draw(done);
}

void Progress::finish() {
  if (!terminal_ && !drawn_) return;  // over before there was anything to tell
  draw(total_ > 0 ? total_ : done_);
  if (terminal_) std::fputc('\n', stderr);
  drawn_ = false;
}

}  // namespace lacuna
