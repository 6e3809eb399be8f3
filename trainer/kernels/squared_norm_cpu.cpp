#include "trainer/kernels/squared_norm.h"

#include <ATen/ops/empty.h>

#include "trainer/kernels/wide.h"

namespace lacuna {
namespace {

constexpr int64_t kBlock = 4096;  // summed in float32, the blocks in double

LACUNA_WIDE float block_sum(const float* x, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
  return sum;
}

}  // namespace

at::Tensor squared_norm(const at::Tensor& values) {
  const auto* x = values.const_data_ptr<float>();
  double sum = 0;
  for (int64_t begin = 0; begin < values.numel(); begin += kBlock) sum += block_sum(x + begin, std::min(kBlock, values.numel() - begin));
  auto result = at::empty({1}, at::kDouble);
  *result.data_ptr<double>() = sum;
  return result;
}

}  // namespace lacuna
