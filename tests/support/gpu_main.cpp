// The main of gpu_tests: GoogleTest's own and --file=gpu/x_test.cpp. Without a device it says so and leaves with 77.
#include <cuda_runtime_api.h>
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
  int num_devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&num_devices);
  if (status != cudaSuccess || num_devices == 0) {
    std::printf("NOT RUN: no CUDA device is here (%s)\n", cudaGetErrorString(status));
    return 77;
  }
  return RUN_ALL_TESTS();
}
