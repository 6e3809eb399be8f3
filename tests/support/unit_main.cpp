// The main of unit_tests: GoogleTest's own, and --file=unit/x_test.cpp.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/support/file_filter.h"
#include "tests/support/seeded_tests.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  lacuna::testing::seed_every_test();
  const std::string file = lacuna::testing::argument(argc, argv, "file");
  if (!lacuna::testing::select_file(file)) {
    std::fprintf(stderr, "no test is defined in %s\n", file.c_str());
    return 2;
  }
  return RUN_ALL_TESTS();
}
