#include "trainer/kernels/silu_gate.h"

#include <ATen/ops/silu.h>
#ifdef LACUNA_CUDA
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/csrc/autograd/custom_function.h>

#include "trainer/kernels/silu_gate_cuda.h"
#include "trainer/kernels/tensor_checks.h"
#endif

namespace lacuna {

#ifdef LACUNA_CUDA
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr const char* kName = "silu_gate";

cuda::SiluGate arguments(const at::Tensor& packed) {
  require_tensor(kName, "packed", packed, packed.sizes(), packed.scalar_type(), packed.device());
  require(packed.size(-1) % 2 == 0, kName, "rows must have two halves");
  return {.rows = packed.numel() / packed.size(-1), .width = packed.size(-1) / 2, .packed = data_of(packed)};
}

// The gradient, as a function of what it is made of.
class SiluGateSlope : public torch::autograd::Function<SiluGateSlope> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& dy, const at::Tensor& packed) {
    ctx->save_for_backward({dy, packed});
    const auto d_packed = at::empty_like(packed);
    cuda::silu_gate_backward(arguments(packed), data_of(dy), mutable_data_of(d_packed), element_of(kName, packed),
                             c10::cuda::getCurrentCUDAStream());
    return d_packed;
  }
  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    require(!at::GradMode::is_enabled(), kName, "has no third derivative");
    const auto saved = ctx->get_saved_variables();
    const auto &dy = saved[0], &packed = saved[1];
    const auto of = gradients[0].contiguous();
    const auto d_dy = at::empty_like(dy), d_packed = at::empty_like(packed);
    cuda::silu_gate_backward_twice(arguments(packed), data_of(dy), data_of(of), mutable_data_of(d_dy), mutable_data_of(d_packed),
                                   element_of(kName, packed), c10::cuda::getCurrentCUDAStream());
    return {d_dy, d_packed};
  }
};

class SiluGate : public torch::autograd::Function<SiluGate> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& packed) {
    ctx->save_for_backward({packed});
    auto sizes = packed.sizes().vec();
    sizes.back() /= 2;
    const auto y = at::empty(sizes, packed.options());
    cuda::silu_gate(arguments(packed), mutable_data_of(y), element_of(kName, packed), c10::cuda::getCurrentCUDAStream());
    return y;
  }
  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    return {SiluGateSlope::apply(gradients[0].contiguous(), ctx->get_saved_variables()[0])};
  }
};

}  // namespace
#endif

at::Tensor silu_gate_reference(const at::Tensor& packed) {
  const auto halves = packed.chunk(2, -1);
  return at::silu(halves[0]) * halves[1];
}

at::Tensor silu_gate(const at::Tensor& packed) {
#ifdef LACUNA_CUDA
  if (packed.is_cuda() && packed.scalar_type() != at::kDouble) return SiluGate::apply(packed.contiguous());
#endif
  return silu_gate_reference(packed);
}

}  // namespace lacuna
