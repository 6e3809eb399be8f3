#include "data/prefetch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

namespace lacuna {
namespace {

using namespace std::chrono_literals;

TEST(Prefetch, ValuesComeInOrderFromTheFirstStep) {
  Prefetch<int64_t> prefetch([](int64_t step) { return step * step; }, 5, 3);
  for (int64_t step = 5; step < 500; ++step) ASSERT_EQ(prefetch.next(), step * step);
}

TEST(Prefetch, TakesWhatCanOnlyBeMoved) {
  Prefetch<std::unique_ptr<int64_t>> prefetch([](int64_t step) { return std::make_unique<int64_t>(step); }, 0, 2);
  EXPECT_EQ(*prefetch.next(), 0);
  EXPECT_EQ(*prefetch.next(), 1);
}

TEST(Prefetch, StaysAtMostDepthAhead) {
  std::atomic<int64_t> made = 0;
  Prefetch<int64_t> prefetch([&](int64_t step) { return ++made, step; }, 0, 3);
  const auto settles_at = [&](int64_t count) {
    for (int i = 0; i < 1000 && made < count; ++i) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(20ms);
    return made.load();
  };
  EXPECT_EQ(settles_at(3), 3);
  prefetch.next();
  EXPECT_EQ(settles_at(4), 4);
}

TEST(Prefetch, TheProducersErrorComesAtItsStepAndStays) {
  Prefetch<int64_t> prefetch(
      [](int64_t step) {
        if (step == 2) throw std::runtime_error("row 2 is damaged");
        return step;
      },
      0, 8);
  EXPECT_EQ(prefetch.next(), 0);
  EXPECT_EQ(prefetch.next(), 1);
  for (int again = 0; again < 2; ++again) {
    try {
      prefetch.next();
      FAIL() << "nothing was thrown";
    } catch (const std::runtime_error& e) {
      EXPECT_EQ(std::string(e.what()), "row 2 is damaged");
    }
  }
}

TEST(Prefetch, LeavesPromptlyWhenNobodyTakesMore) {
  for (int i = 0; i < 50; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    {
      Prefetch<int64_t> full([](int64_t step) { return step; }, 0, 1);
    }
    {
      Prefetch<int64_t> used([](int64_t step) { return step; }, 0, 2);
      used.next();
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 500ms);
  }
}

}  // namespace
}  // namespace lacuna
