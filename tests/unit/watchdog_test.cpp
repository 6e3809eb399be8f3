// The watchdog ends its process, so each case that fires is a child process.
#include "trainer/parallel/watchdog.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <stdexcept>

namespace lacuna {
namespace {

using namespace std::chrono_literals;

void print(const std::string& text) { std::fputs(text.c_str(), stderr); }

// Sleeps well past any limit of these tests.
void hang() { std::this_thread::sleep_for(10s); }

TEST(Watchdog, StaysQuietWhileTheStepsGoOn) {
  Watchdog watchdog(0.2, 0, nullptr, [](const std::string& text) { ADD_FAILURE() << text; });
  for (int step = 0; step < 8; ++step) {
    std::this_thread::sleep_for(50ms);
    watchdog.beat(step);
  }
}

TEST(Watchdog, WatchesNothingWithoutALimit) {
  Watchdog watchdog(0, 0, nullptr, [](const std::string& text) { ADD_FAILURE() << text; });
  std::this_thread::sleep_for(50ms);
}

TEST(WatchdogDeathTest, NamesRankStepAndCollective) {
  EXPECT_EXIT(
      {
        const auto recorder = std::make_shared<FlightRecorder>();
        Watchdog watchdog(0.1, 3, recorder, print);
        watchdog.beat(41);
        recorder->done(recorder->start("tensor", "broadcast", 16));
        recorder->start("data", "all_reduce", 4096);
        hang();
      },
      ::testing::ExitedWithCode(7),
      "rank 3 made no progress for 0.1 s at step 41\nin #1 all_reduce of 4096 bytes on the data axis, under way for "
      "0.1.* s\nthe last 2 collectives:\n  #0 broadcast");
}

TEST(Watchdog, AsksThePollWhileTheStepsGoOn) {
  std::atomic<int> asked = 0;
  {
    const auto quiet = [](const std::string& text) { ADD_FAILURE() << text; };
    Watchdog watchdog(60, 0, nullptr, quiet, [&]() -> std::optional<std::string> {
      ++asked;
      return std::nullopt;
    });
    std::this_thread::sleep_for(300ms);
  }
  EXPECT_GE(asked, 2);
}

TEST(WatchdogDeathTest, LeavesAtOnceWithWhatThePollTells) {
  EXPECT_EXIT(
      {
        const auto recorder = std::make_shared<FlightRecorder>();
        recorder->start("data", "all_reduce", 4096);
        std::atomic<bool> lost = false;
        Watchdog watchdog(60, 2, recorder, print,
                          [&] { return lost ? std::optional<std::string>("rank 1 is gone") : std::nullopt; });
        watchdog.beat(7);
        lost = true;
        hang();
      },
      ::testing::ExitedWithCode(7), "rank 2 cannot go on at step 7: rank 1 is gone\nin #0 all_reduce of 4096 bytes");
}

TEST(WatchdogDeathTest, LeavesThoughTheReportFails) {
  EXPECT_EXIT(
      {
        Watchdog watchdog(0.1, 0, nullptr, [](const std::string&) { throw std::runtime_error("disk is full"); });
        hang();
      },
      ::testing::ExitedWithCode(7), "its report could not be written: disk is full");
}

TEST(WatchdogDeathTest, LeavesThoughTheReportHangs) {
  EXPECT_EXIT(
      {
        Watchdog watchdog(0.1, 0, nullptr, [](const std::string&) { hang(); });
        hang();
      },
      ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace lacuna
