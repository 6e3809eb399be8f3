#include "trainer/parallel/flight_recorder.h"

#include <algorithm>
#include <cstdio>

namespace lacuna {
namespace {

double seconds(FlightRecorder::Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

std::string line(const FlightRecorder::Entry& entry) {
  const double age = seconds((entry.done ? entry.end : FlightRecorder::Clock::now()) - entry.start);
  char text[160];
  std::snprintf(text, sizeof text, "#%lld %s of %lld bytes on the %s axis, %s %.3f s", static_cast<long long>(entry.number),
                entry.collective, static_cast<long long>(entry.bytes), entry.axis.c_str(), entry.done ? "took" : "under way for",
                age);
  return text;
}

}  // namespace

int64_t FlightRecorder::start(const std::string& axis, const char* collective, int64_t bytes) {
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  entries_[next_ % entries_.size()] = {next_, axis, collective, bytes, now, now, false};
  return next_++;
}

void FlightRecorder::done(int64_t number) {
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[number % entries_.size()];
  if (entry.number != number) return;  // overwritten by a newer one
  entry.end = now;
  entry.done = true;
}

std::vector<FlightRecorder::Entry> FlightRecorder::last(size_t count) const {
  const std::lock_guard lock(mutex_);
  const auto kept = static_cast<int64_t>(std::min(count, entries_.size()));
  std::vector<Entry> result;
  for (int64_t number = std::max<int64_t>(0, next_ - kept); number < next_; ++number) {
    result.push_back(entries_[number % entries_.size()]);
  }
  return result;
}

std::vector<FlightRecorder::Entry> FlightRecorder::in_flight() const {
  std::vector<Entry> result = last(entries_.size());
  std::erase_if(result, [](const Entry& entry) { return entry.done; });
  return result;
}

std::string FlightRecorder::report(size_t count) const {
  std::string text;
  for (const Entry& entry : in_flight()) text += "in " + line(entry) + "\n";
  if (text.empty()) text = "no collective is under way: this rank computes, reads or writes\n";
  const auto recent = last(count);
  text += "the last " + std::to_string(recent.size()) + " collectives:\n";
  for (const Entry& entry : recent) text += "  " + line(entry) + "\n";
  return text;
}

}  // namespace lacuna
