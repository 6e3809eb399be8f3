#include "trainer/kernels/dropout.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones_like.h>

#include <cmath>

#include "trainer/kernels/tensor_checks.h"
#ifdef LACUNA_CUDA
#include <c10/cuda/CUDAStream.h>

#include "trainer/kernels/dropout_cuda.h"
#endif

namespace lacuna {
namespace {

uint32_t threshold_of(double rate) { return static_cast<uint32_t>(std::llround(rate * 4294967296.0)); }
float scale_of(double rate) { return static_cast<float>(1.0 / (1.0 - rate)); }

// 0 or 1 / (1 - rate), on the host.
at::Tensor mask_of(at::IntArrayRef shape, double rate, const Random& site, const at::Tensor& stream_positions) {
  const int64_t row_size = shape[1] * shape[2];
  auto mask = at::empty(shape, at::kFloat);
  auto* values = mask.data_ptr<float>();
  const auto* rows = stream_positions.const_data_ptr<int64_t>();
  const auto threshold = threshold_of(rate);
  const auto kept = scale_of(rate);
  at::parallel_for(0, shape[0], 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const auto random = site.fork(static_cast<uint64_t>(rows[b]));
      float* out = values + b * row_size;
      for (int64_t i = 0; i < row_size; i += 4) {
        const auto bits = random.block(static_cast<uint64_t>(i / 4));
        for (int64_t j = i; j < std::min(i + 4, row_size); ++j)
          out[j] = bits[static_cast<size_t>(j - i)] < threshold ? 0.0f : kept;
      }
    }
  });
  return mask;
}

}  // namespace

at::Tensor dropout(const at::Tensor& x, double rate, const Random& site, const at::Tensor& stream_positions) {
  if (rate == 0) return x;
  if (!x.is_cuda()) return x * mask_of(x.sizes(), rate, site, stream_positions);
  return x * add_dropout({}, at::ones_like(x, x.options().requires_grad(false)), rate, site, stream_positions.to(x.device()));
}

at::Tensor add_dropout(const at::Tensor& residual, const at::Tensor& x, double rate, const Random& site,
                       const at::Tensor& stream_positions, at::Tensor out) {
  const at::NoGradGuard no_grad;
  constexpr const char* kName = "add_dropout";
  require(x.dim() == 3, kName, "x must have three dimensions");
  require(rate >= 0 && rate < 1, kName, "the rate must be in [0, 1)");
  require_tensor(kName, "x", x, x.sizes(), x.scalar_type(), x.device());
  if (residual.defined()) require_tensor(kName, "residual", residual, x.sizes(), x.scalar_type(), x.device());
  require_tensor(kName, "stream_positions", stream_positions, {x.size(0)}, at::kLong, x.device());
  out = given_or_new(kName, "out", out, x.sizes(), x.scalar_type(), x.device());
#ifdef LACUNA_CUDA
  if (x.is_cuda()) {
    cuda::dropout({.rows = x.size(0),
                   .row_size = x.size(1) * x.size(2),
                   .residual = data_of(residual),
                   .x = data_of(x),
                   .y = mutable_data_of(out),
                   .stream_positions = stream_positions.const_data_ptr<int64_t>(),
                   .key = site.key(),
                   .stream = site.stream(),
                   .threshold = threshold_of(rate),
                   .scale = scale_of(rate)},
                  element_of(kName, x), c10::cuda::getCurrentCUDAStream());
    return out;
  }
#endif
  auto sum = x.to(at::kFloat) * mask_of(x.sizes(), rate, site, stream_positions);
  if (residual.defined()) sum += residual.to(at::kFloat);
  out.copy_(sum);
  return out;
}

}  // namespace lacuna
