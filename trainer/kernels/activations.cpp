#include "trainer/kernels/activations.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>

#include <algorithm>

#include "trainer/kernels/tensor_checks.h"
#ifdef LACUNA_CUDA
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAStream.h>

#include "trainer/kernels/column_sum_cuda.h"
#endif

namespace lacuna {
namespace {

at::Tensor value(Nonlinearity f, const at::Tensor& x) {
  if (f == Nonlinearity::silu) return at::silu(x);
  return at::gelu(x, f == Nonlinearity::gelu ? "none" : "tanh");
}

at::Tensor derivative(Nonlinearity f, const at::Tensor& dy, const at::Tensor& x) {
  if (f == Nonlinearity::silu) return at::silu_backward(dy, x);
  return at::gelu_backward(dy, x, f == Nonlinearity::gelu ? "none" : "tanh");
}

int64_t columns_of(const at::Tensor& x) { return std::max<int64_t>(x.dim() == 0 ? 1 : x.size(-1), 1); }

std::vector<int64_t> half_of(const char* kernel, const at::Tensor& packed) {
  require(packed.dim() > 0 && packed.size(-1) % 2 == 0, kernel, "the packed input needs an even last dimension");
  auto sizes = packed.sizes().vec();
  sizes.back() /= 2;
  return sizes;
}

}  // namespace

at::Tensor activation(Nonlinearity f, const at::Tensor& x, at::Tensor y) {
  const at::NoGradGuard no_grad;
  constexpr const char* kName = "activation";
  require_tensor(kName, "x", x, x.sizes(), x.scalar_type(), x.device());
  y = given_or_new(kName, "y", y, x.sizes(), x.scalar_type(), x.device());
#ifdef LACUNA_CUDA
  if (x.is_cuda()) {
    const int64_t columns = columns_of(x);
    cuda::activation(f, element_of(kName, x), x.numel() / columns, columns, data_of(x), columns, mutable_data_of(y), columns,
                     c10::cuda::getCurrentCUDAStream());
    return y;
  }
#endif
  y.copy_(value(f, x.to(at::kFloat)));
  return y;
}

void activation_backward(Nonlinearity f, const at::Tensor& dy, const at::Tensor& x, const at::Tensor& sums) {
  const at::NoGradGuard no_grad;
  constexpr const char* kName = "activation_backward";
  require_tensor(kName, "x", x, x.sizes(), x.scalar_type(), x.device());
  require_tensor(kName, "dy", dy, x.sizes(), x.scalar_type(), x.device());
  if (sums.defined()) require_tensor(kName, "sums", sums, {columns_of(x)}, at::kFloat, x.device());
#ifdef LACUNA_CUDA
  if (x.is_cuda()) {
    const int64_t columns = columns_of(x), rows = x.numel() / columns;
    const auto workspace =
        sums.defined() ? at::empty({cuda::column_sum_workspace(rows, columns)}, x.options().dtype(at::kByte)) : at::Tensor();
    cuda::activation_backward(f, element_of(kName, x), rows, columns, data_of(x), columns, mutable_data_of(dy), columns,
                              sums.defined() ? sums.data_ptr<float>() : nullptr, mutable_data_of(workspace),
                              c10::cuda::getCurrentCUDAStream());
    return;
  }
#endif
  dy.copy_(derivative(f, dy.to(at::kFloat), x.to(at::kFloat)));
  if (sums.defined()) sums.add_(dy.reshape({-1, dy.size(-1)}).sum(0, false, at::kFloat));
}

at::Tensor gated_activation(Nonlinearity f, const at::Tensor& packed, at::Tensor y) {
  const at::NoGradGuard no_grad;
  constexpr const char* kName = "gated_activation";
  require_tensor(kName, "packed", packed, packed.sizes(), packed.scalar_type(), packed.device());
  const auto half = half_of(kName, packed);
  y = given_or_new(kName, "y", y, half, packed.scalar_type(), packed.device());
  if (y.numel() == 0) return y;
#ifdef LACUNA_CUDA
  if (packed.is_cuda()) {
    cuda::gated_activation(f, data_of(packed), mutable_data_of(y), y.numel() / half.back(), half.back(),
                           element_of(kName, packed), c10::cuda::getCurrentCUDAStream());
    return y;
  }
#endif
  const auto halves = packed.to(at::kFloat).chunk(2, -1);
  y.copy_(value(f, halves[0]) * halves[1]);
  return y;
}

at::Tensor gated_activation_backward(Nonlinearity f, const at::Tensor& dy, const at::Tensor& packed, at::Tensor d_packed,
                                     at::Tensor y) {
  const at::NoGradGuard no_grad;
  constexpr const char* kName = "gated_activation_backward";
  const auto type = packed.scalar_type();
  const auto device = packed.device();
  require_tensor(kName, "packed", packed, packed.sizes(), type, device);
  const auto half = half_of(kName, packed);
  require_tensor(kName, "dy", dy, half, type, device);
  d_packed = given_or_new(kName, "d_packed", d_packed, packed.sizes(), type, device);
  if (y.defined()) require_tensor(kName, "y", y, half, type, device);
  if (dy.numel() == 0) return d_packed;
#ifdef LACUNA_CUDA
  if (packed.is_cuda()) {
    cuda::gated_activation_backward(f, data_of(dy), data_of(packed), mutable_data_of(d_packed), mutable_data_of(y),
                                    dy.numel() / half.back(), half.back(), element_of(kName, packed),
                                    c10::cuda::getCurrentCUDAStream());
    return d_packed;
  }
#endif
  const auto halves = packed.to(at::kFloat, false, /*copy=*/true).chunk(2, -1);
  const auto d = dy.to(at::kFloat), shaped = value(f, halves[0]);
  d_packed.copy_(at::cat({derivative(f, d * halves[1], halves[0]), d * shaped}, -1));
  if (y.defined()) y.copy_(shaped * halves[1]);
  return d_packed;
}

}  // namespace lacuna
