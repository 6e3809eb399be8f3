#include "launch/device_timer_cuda.h"

#include <c10/cuda/CUDAEvent.h>

#include <algorithm>
#include <array>

namespace lacuna {

double window_seconds(const std::function<void()>& call, int calls) {
  c10::cuda::CUDAEvent begin(cudaEventDefault), end(cudaEventDefault);
  begin.record();
  for (int i = 0; i < calls; ++i) call();
  end.record();
  end.synchronize();
  return 1e-3 * begin.elapsed_time(end) / calls;
}

namespace {

int calls_that_fill(const std::function<void()>& call, double milliseconds) {
  call();
  return std::clamp(static_cast<int>(1e-3 * milliseconds / window_seconds(call, 2)), 1, 100000);
}

}  // namespace

double device_seconds(const std::function<void()>& call, double milliseconds) {
  return window_seconds(call, calls_that_fill(call, milliseconds));
}

TwoTimes device_seconds_in_turns(const std::function<void()>& first, const std::function<void()>& second, double milliseconds) {
  constexpr int kTurns = 3;
  const int first_count = calls_that_fill(first, milliseconds / kTurns),
            second_count = calls_that_fill(second, milliseconds / kTurns);
  std::array<double, kTurns> firsts{}, seconds{};
  for (size_t turn = 0; turn < kTurns; ++turn) {
    firsts[turn] = window_seconds(first, first_count);
    seconds[turn] = window_seconds(second, second_count);
  }
  std::sort(firsts.begin(), firsts.end());
  std::sort(seconds.begin(), seconds.end());
  return {firsts[kTurns / 2], seconds[kTurns / 2]};
}

}  // namespace lacuna
