// A rank that stays away from a collective: the others' watchdogs would name it. The exit itself is tested in
// unit/watchdog_test.cpp, since here it would end the test run.
#include "trainer/parallel/watchdog.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "trainer/parallel/mesh.h"

namespace lacuna {
namespace {

using namespace std::chrono_literals;

TEST(MpiWatchdog, TheRecorderShowsTheCollectiveThatWaitsForALateRank) {
  const auto recorder = std::make_shared<FlightRecorder>();
  const auto mesh = make_mpi_mesh(1, recorder);
  Communicator& world = mesh->world();
  at::Tensor values = at::zeros({256});
  world.barrier();
  const bool late = world.rank() == world.size() - 1;
  std::string seen;
  std::thread watcher;
  if (!late) {
    watcher = std::thread([&] {
      std::this_thread::sleep_for(100ms);
      seen = recorder->report();
    });
  } else {
    std::this_thread::sleep_for(300ms);
  }
  world.all_reduce(values, Reduce::sum);
  if (watcher.joinable()) watcher.join();
  if (!late) {
    EXPECT_NE(seen.find("in #1 all_reduce of 1024 bytes on the world axis, under way for 0."), std::string::npos) << seen;
  }
  EXPECT_EQ(recorder->in_flight().size(), 0u);
}

TEST(MpiWatchdog, RanksThatWalkInStepNumberTheirCollectivesAlike) {
  const auto recorder = std::make_shared<FlightRecorder>();
  const auto mesh = make_mpi_mesh(1, recorder);
  at::Tensor values = at::zeros({4});
  for (int i = 0; i < 5; ++i) mesh->data().all_reduce(values, Reduce::sum);
  at::Tensor number = at::zeros({1}, at::kLong);
  number.fill_(recorder->last(1).front().number);
  mesh->world().all_reduce(number, Reduce::max);
  EXPECT_EQ(number.item<int64_t>(), 4);
  EXPECT_EQ(recorder->last(1).front().number, 5);
}

}  // namespace
}  // namespace lacuna
