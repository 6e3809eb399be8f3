// Gives every test the same random numbers whenever it runs, alone or behind others: LibTorch's own seed is another one in each process.
#pragma once
#include <ATen/Context.h>
#include <gtest/gtest.h>

namespace lacuna::testing {

class SeededTests : public ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo&) override { at::manual_seed(1); }
};

// After InitGoogleTest.
inline void seed_every_test() { ::testing::UnitTest::GetInstance()->listeners().Append(new SeededTests); }

}  // namespace lacuna::testing
