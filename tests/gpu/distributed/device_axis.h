// What the tests of NCCL share: the mesh of all ranks on this rank's GPU, inputs that every rank knows of every other, and a
// comparison that tells enough to mend a failure from a log alone.
#pragma once
#include <ATen/ops/arange.h>
#include <c10/cuda/CUDAFunctions.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "trainer/parallel/mesh.h"

namespace lacuna::testing {

inline at::Device own_device() {
  static const int number = local_rank() % c10::cuda::device_count();
  return {at::kCUDA, static_cast<c10::DeviceIndex>(number)};
}

// Integers small enough that their sum over four ranks is exact in every type. On the host.
inline at::Tensor values_of(int rank, int64_t count, at::ScalarType type = at::kFloat) {
  return (at::arange(count, at::kLong) % 7 + 10 * rank).to(type);
}

inline at::Tensor sum_of_all(int size, int64_t count, at::ScalarType type = at::kFloat) {
  at::Tensor sum = values_of(0, count, type);
  for (int rank = 1; rank < size; ++rank) sum += values_of(rank, count, type);
  return sum;
}

// Every element within `tolerance`, absolute.
inline void expect_close(const at::Tensor& got, const at::Tensor& expected, const std::string& what, double tolerance = 0) {
  ASSERT_EQ(got.numel(), expected.numel()) << what;
  const at::Tensor is = got.cpu().reshape({-1}).to(at::kDouble), should = expected.cpu().reshape({-1}).to(at::kDouble);
  const auto *a = is.const_data_ptr<double>(), *b = should.const_data_ptr<double>();
  int64_t wrong = 0, first = -1;
  for (int64_t i = 0; i < is.numel(); ++i) {
    if (std::abs(a[i] - b[i]) <= tolerance) continue;  // false for a NaN
    if (wrong++ == 0) first = i;
  }
  EXPECT_EQ(wrong, 0) << what << ": " << c10::toString(got.scalar_type()) << " x " << is.numel() << ", first wrong at " << first
                      << ": got " << (first < 0 ? 0 : a[first]) << ", expected " << (first < 0 ? 0 : b[first]);
}

// One mesh for all tests of a suite, since making it takes a second.
class DeviceAxis : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    recorder = std::make_shared<FlightRecorder>();
    mesh = make_device_mesh(1, own_device(), recorder);
  }
  static void TearDownTestSuite() {
    EXPECT_EQ(mesh->failure().value_or("none"), "none");
    mesh.reset();
  }
  static Communicator& axis() { return mesh->data(); }
  static at::Tensor on_device(const at::Tensor& values) { return values.to(own_device()); }

  inline static std::shared_ptr<FlightRecorder> recorder;
  inline static std::unique_ptr<Mesh> mesh;
};

}  // namespace lacuna::testing
