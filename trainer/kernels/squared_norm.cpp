#include "trainer/kernels/squared_norm.h"

#include <ATen/ops/empty.h>

#include "trainer/kernels/line_mask.h"
#include "trainer/kernels/wide.h"
#ifdef LACUNA_CUDA
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

#ifdef LACUNA_CUDA
at::Tensor on_device(const at::Tensor& values, const uint32_t* marked, int64_t begin) {
  const auto numbers = at::empty({2 + cuda::kSquaredNormWorkspace}, values.options().dtype(at::kDouble));
  auto* sums = numbers.data_ptr<double>();
  cuda::squared_norm(sums, values.const_data_ptr<float>(), values.numel(), marked, begin, sums + 2,
                     c10::cuda::getCurrentCUDAStream());
  return numbers.narrow(0, 0, 2);
}
#endif

}  // namespace

at::Tensor squared_norm(const at::Tensor& values) {
#ifdef LACUNA_CUDA
  if (values.is_cuda()) return on_device(values, nullptr, 0).narrow(0, 0, 1);
#endif
  const auto* x = values.const_data_ptr<float>();
  double sum = 0;
  for (int64_t begin = 0; begin < values.numel(); begin += kBlock) {
    sum += block_sum(x + begin, std::min(kBlock, values.numel() - begin));
  }
  auto result = at::empty({1}, at::kDouble);
  *result.data_ptr<double>() = sum;
  return result;
}

at::Tensor squared_norms(const at::Tensor& values, const at::Tensor& marked, int64_t begin) {
  const auto* mask = reinterpret_cast<const uint32_t*>(marked.const_data_ptr<int32_t>());
#ifdef LACUNA_CUDA
  if (values.is_cuda()) return on_device(values, mask, begin);
#endif
  const auto* x = values.const_data_ptr<float>();
  auto result = at::empty({2}, at::kDouble);
  auto* sums = result.data_ptr<double>();
  sums[0] = sums[1] = 0;
  int64_t from = 0;
  while (from < values.numel()) {  // stretches of lines that are marked alike
    const bool mark = is_marked(mask, begin + from);
    int64_t to = from;
    while (to < values.numel() && to - from < kBlock && is_marked(mask, begin + to) == mark) to += kLineElements;
    sums[mark ? 1 : 0] += block_sum(x + from, std::min(to, values.numel()) - from);
    from = to;
  }
  return result;
}

}  // namespace lacuna
