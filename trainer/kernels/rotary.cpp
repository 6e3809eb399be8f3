#include "trainer/kernels/rotary.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

#include <cmath>

#include "trainer/kernels/tensor_checks.h"
#ifdef LACUNA_CUDA
#include <c10/cuda/CUDAStream.h>

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

at::Tensor rotary(const at::Tensor& x, const RotaryAngles& angles) {
  const auto halves = x.chunk(2, -1);
  return (x * angles.cosine + at::cat({-halves[1], halves[0]}, -1) * angles.sine).to(x.scalar_type());
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
