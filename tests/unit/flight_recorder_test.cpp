#include "trainer/parallel/flight_recorder.h"

#include <gtest/gtest.h>

namespace lacuna {
namespace {

TEST(FlightRecorder, KeepsTheNewestEntriesInOrder) {
  FlightRecorder recorder(4);
  for (int i = 0; i < 10; ++i) recorder.done(recorder.start("data", "all_reduce", i));
  const auto entries = recorder.last(100);
  ASSERT_EQ(entries.size(), 4u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(entries[i].number, 6 + i);
    EXPECT_EQ(entries[i].bytes, 6 + i);
  }
  EXPECT_EQ(recorder.last(2).front().number, 8);
}

TEST(FlightRecorder, NamesWhatIsUnderWay) {
  FlightRecorder recorder;
  recorder.done(recorder.start("tensor", "broadcast", 16));
  const int64_t number = recorder.start("data", "all_reduce", 4096);
  ASSERT_EQ(recorder.in_flight().size(), 1u);
  EXPECT_EQ(recorder.in_flight()[0].number, number);
  EXPECT_NE(recorder.report().find("in #1 all_reduce of 4096 bytes on the data axis, under way for 0.0"), std::string::npos)
      << recorder.report();
  EXPECT_NE(recorder.report().find("#0 broadcast of 16 bytes on the tensor axis, took 0.0"), std::string::npos);
  recorder.done(number);
  EXPECT_NE(recorder.report().find("no collective is under way"), std::string::npos);
}

TEST(FlightRecorder, AnEntryThatWasOverwrittenIsNotTakenForAnother) {
  FlightRecorder recorder(2);
  const int64_t old = recorder.start("data", "all_reduce", 1);
  recorder.start("data", "all_reduce", 2);
  recorder.start("data", "all_reduce", 3);  // takes the place of the first
  recorder.done(old);
  EXPECT_EQ(recorder.in_flight().size(), 2u);
}

TEST(FlightEntry, IsDoneAtTheEndOfItsLife) {
  const auto recorder = std::make_shared<FlightRecorder>();
  {
    FlightEntry entry(recorder, "world", "barrier", 0);
    const FlightEntry moved = std::move(entry);
    EXPECT_EQ(recorder->in_flight().size(), 1u);
  }
  EXPECT_EQ(recorder->in_flight().size(), 0u);
  FlightEntry nothing(nullptr, "world", "barrier", 0);
  nothing.done();
}

}  // namespace
}  // namespace lacuna
