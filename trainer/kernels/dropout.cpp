#include "trainer/kernels/dropout.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <cmath>

namespace lacuna {

at::Tensor dropout(const at::Tensor& x, double rate, const Random& site, const at::Tensor& stream_positions) {
  if (rate == 0) return x;
  const int64_t row_size = x.size(1) * x.size(2);
  auto mask = at::empty(x.sizes(), x.options().requires_grad(false));
  auto* values = mask.data_ptr<float>();
  const auto* rows = stream_positions.const_data_ptr<int64_t>();
  const auto threshold = static_cast<uint32_t>(std::llround(rate * 4294967296.0));
  const auto kept = static_cast<float>(1.0 / (1.0 - rate));
  at::parallel_for(0, x.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const auto random = site.fork(static_cast<uint64_t>(rows[b]));
      float* out = values + b * row_size;
      for (int64_t i = 0; i < row_size; i += 4) {
        const auto bits = random.block(static_cast<uint64_t>(i / 4));
        for (int64_t j = i; j < std::min(i + 4, row_size); ++j) out[j] = bits[static_cast<size_t>(j - i)] < threshold ? 0.0f : kept;
      }
    }
  });
  return x * mask;
}

}  // namespace lacuna
