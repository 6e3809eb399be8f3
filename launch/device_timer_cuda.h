// How long the current device takes for work that is queued on the current stream.
#pragma once
#include <functional>

namespace lacuna {

// Seconds of one call, averaged over as many as fill `milliseconds` after a first one, which loads the kernels. Long windows
// measure what a busy chip does: its clock falls with its power.
double device_seconds(const std::function<void()>& call, double milliseconds);

// Seconds of one call, averaged over `calls`.
double window_seconds(const std::function<void()>& call, int calls);

// Medians of both, taken in turns, so that a drifting clock counts for neither.
struct TwoTimes {
  double first = 0, second = 0;
};
TwoTimes device_seconds_in_turns(const std::function<void()>& first, const std::function<void()>& second, double milliseconds);

}  // namespace lacuna
