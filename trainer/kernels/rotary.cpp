#include "trainer/kernels/rotary.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

#include <cmath>

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
  return x * angles.cosine + at::cat({-halves[1], halves[0]}, -1) * angles.sine;
}

}  // namespace lacuna
