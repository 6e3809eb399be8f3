#include "trainer/kernels/rotary.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

#include <cmath>

#include "trainer/kernels/tensor_checks.h"
#ifdef LACUNA_CUDA
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/csrc/autograd/custom_function.h>

#include "trainer/kernels/rotary_cuda.h"
#endif

namespace lacuna {

RotaryAngles rotary_angles(const at::Tensor& positions, int64_t head_size, double base) {
  const auto exponents = at::arange(0, head_size, 2, positions.options().dtype(at::kDouble)) / static_cast<double>(head_size);
  auto angles = positions.to(at::kDouble).unsqueeze(-1) * (exponents * -std::log(base)).exp();  // double: positions may be large
  angles = at::cat({angles, angles}, -1);
  if (angles.dim() == 3) angles = angles.unsqueeze(1);
  return {angles.cos().to(at::kFloat), angles.sin().to(at::kFloat)};
}

at::Tensor rotary_reference(const at::Tensor& x, const RotaryAngles& angles, double scale) {
  const auto halves = x.chunk(2, -1);
  const auto turned = (x * angles.cosine + at::cat({-halves[1], halves[0]}, -1) * angles.sine).to(x.scalar_type());
  return scale == 1 ? turned : turned * scale;
}

#ifdef LACUNA_CUDA
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Turned back it is its own derivative, which again is its own.
class Turned : public torch::autograd::Function<Turned> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& given, const at::Tensor& cosine, const at::Tensor& sine,
                            double scale, bool inverse) {
    constexpr const char* kName = "rotary";
    ctx->save_for_backward({cosine, sine});
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["inverse"] = inverse;
    const auto x = given.stride(-1) == 1 ? given : given.contiguous();
    const int64_t rows = x.size(0), heads = x.size(1), length = x.size(2), size = x.size(3);
    require(cosine.is_contiguous() && sine.is_contiguous() && cosine.scalar_type() == at::kFloat && cosine.size(-2) == length &&
                cosine.size(-1) == size && cosine.device() == x.device(),
            kName, "the angles are not (T, d) or (B, 1, T, d) float32 without gaps");
    const auto out = inverse ? at::empty({rows, length, heads, size}, x.options()).transpose(1, 2)
                             : at::empty({rows, heads, length, size}, x.options());
    cuda::turn({.rows = rows,
                .heads = heads,
                .length = length,
                .head_size = size,
                .x = {x.const_data_ptr(), x.stride(0), x.stride(1), x.stride(2)},
                .out = {out.mutable_data_ptr(), out.stride(0), out.stride(1), out.stride(2)},
                .cosine = cosine.const_data_ptr<float>(),
                .sine = sine.const_data_ptr<float>(),
                .angles_stride = cosine.dim() == 4 && cosine.size(0) > 1 ? length * size : 0,
                .scale = static_cast<float>(scale),
                .inverse = inverse},
               element_of(kName, x), c10::cuda::getCurrentCUDAStream());
    return out;
  }
  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    return {Turned::apply(gradients[0], saved[0], saved[1], ctx->saved_data["scale"].toDouble(),
                          !ctx->saved_data["inverse"].toBool()),
            {}, {}, {}, {}};
  }
};

}  // namespace
#endif

at::Tensor rotary(const at::Tensor& x, const RotaryAngles& angles, double scale) {
#ifdef LACUNA_CUDA
  if (x.is_cuda() && x.scalar_type() != at::kDouble) return Turned::apply(x, angles.cosine, angles.sine, scale, false);
#endif
  return rotary_reference(x, angles, scale);
}

RotaryTable rotary_table(int64_t num_positions, int64_t head_size, double base, at::Device device) {
  const auto angles = rotary_angles(at::arange(num_positions, at::kLong), head_size, base);
  const auto half = [&](const at::Tensor& x) { return x.narrow(1, 0, head_size / 2).contiguous().to(device); };
  return {half(angles.cosine), half(angles.sine)};
}

void turn_heads(const at::Tensor& qkv, int64_t num_heads, int64_t num_kv_heads, const RotaryTable& table,
                const at::Tensor& positions, bool inverse) {
  const at::NoGradGuard no_grad;
  constexpr const char* kName = "turn_heads";
  require(qkv.dim() == 3, kName, "qkv must have three dimensions");
  require(table.cosine.defined() && table.cosine.dim() == 2, kName, "the table must have two dimensions");
  const int64_t rows = qkv.size(0), length = qkv.size(1), half = table.cosine.size(1), heads = num_heads + 2 * num_kv_heads;
  const auto device = qkv.device();
  require_tensor(kName, "qkv", qkv, {rows, length, heads * 2 * half}, qkv.scalar_type(), device);
  require_tensor(kName, "cosine", table.cosine, {table.cosine.size(0), half}, at::kFloat, device);
  require_tensor(kName, "sine", table.sine, table.cosine.sizes(), at::kFloat, device);
  if (positions.defined()) require_tensor(kName, "positions", positions, {rows, length}, at::kInt, device);
  require(positions.defined() || length <= table.cosine.size(0), kName, "the table is shorter than the rows");
#ifdef LACUNA_CUDA
  if (qkv.is_cuda()) {
    cuda::rotary({.tokens = rows * length,
                  .length = length,
                  .heads_turned = num_heads + num_kv_heads,
                  .heads = heads,
                  .head_size = 2 * half,
                  .qkv = mutable_data_of(qkv),
                  .cosine = table.cosine.const_data_ptr<float>(),
                  .sine = table.sine.const_data_ptr<float>(),
                  .num_positions = table.cosine.size(0),
                  .positions = static_cast<const int32_t*>(data_of(positions)),
                  .inverse = inverse},
                 element_of(kName, qkv), c10::cuda::getCurrentCUDAStream());
    return;
  }
#endif
  const auto turned = qkv.view({rows, length, heads, 2 * half}).narrow(2, 0, num_heads + num_kv_heads);
  const auto angles = [&](const at::Tensor& values) {  // (T or B, T, d/2) -> (..., T, 1, d/2)
    return positions.defined() ? values.index_select(0, positions.view(-1)).view({rows, length, 1, half})
                               : values.narrow(0, 0, length).unsqueeze(1);
  };
  const auto cosine = angles(table.cosine), sine = inverse ? -angles(table.sine) : angles(table.sine);
  const auto halves = turned.to(at::kFloat).chunk(2, -1);
  turned.copy_(at::cat({halves[0] * cosine - halves[1] * sine, halves[1] * cosine + halves[0] * sine}, -1));
}

}  // namespace lacuna
