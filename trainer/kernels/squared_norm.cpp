#include "trainer/kernels/squared_norm.h"

#include "trainer/kernels/wide.h"
#ifdef LACUNA_CUDA
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAStream.h>

#include "trainer/kernels/squared_norm_cuda.h"
#endif

namespace lacuna {
namespace {

constexpr int64_t kBlock = 4096;  // summed in float32, the blocks in double

LACUNA_WIDE float block_sum(const float* x, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
  return sum;
}

}  // namespace

double squared_norm(const at::Tensor& values) {
  const auto* x = values.const_data_ptr<float>();
#ifdef LACUNA_CUDA
  if (values.is_cuda()) {
    const auto numbers = at::empty({2 + cuda::kSquaredNormWorkspace}, values.options().dtype(at::kDouble));
    auto* sums = numbers.data_ptr<double>();
    cuda::squared_norm(sums, x, values.numel(), nullptr, 0, sums + 2, c10::cuda::getCurrentCUDAStream());
    return numbers[0].item<double>();
  }
#endif
  double sum = 0;
  for (int64_t begin = 0; begin < values.numel(); begin += kBlock)
    sum += block_sum(x + begin, std::min(kBlock, values.numel() - begin));
  return sum;
}

}  // namespace lacuna
