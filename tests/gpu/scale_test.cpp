#include "trainer/kernels/scale.h"

#include <ATen/ops/equal.h>

#include "tests/support/device_compare.h"

namespace lacuna {
namespace {

using namespace testing;

TEST(Scale, MultipliesUnlessByOne) {
  for (const auto type : kComputeTypes) {
    for (const bool aligned : {true, false}) {
      for (const int64_t n : {0, 1, 7, 8, 9, 255, 257, 4096, 2163201, 5000000}) {
        const auto start = random_on_device({n}, type, aligned);
        for (const double factor : {1.0, 0.0, -0.37, 3.0}) {
          auto x = random_on_device({n}, type, aligned).copy_(start);
          scale(x, at::full({}, factor, on_device(at::kFloat)));
          const auto what = std::to_string(n) + " times " + std::to_string(factor);
          if (factor == 1) {
            EXPECT_TRUE(at::equal(x, start)) << what;
          } else {
            expect_close(x, start.to(at::kDouble) * static_cast<float>(factor), tolerance_of(type), what);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace lacuna
