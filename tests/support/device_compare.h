// Device results against a reference in double precision: what fails says shape, type, first bad index, what came and what was
// expected.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <sstream>
#include <string>

namespace lacuna::testing {

constexpr std::array<at::ScalarType, 2> kComputeTypes = {at::kFloat, at::kBFloat16};

inline at::TensorOptions on_device(at::ScalarType type) { return at::TensorOptions().device(at::kCUDA).dtype(type); }

// Normal values; `aligned` false places them one element behind a 16-byte border.
inline at::Tensor random_on_device(at::IntArrayRef shape, at::ScalarType type, bool aligned = true) {
  const auto values = at::randn(shape, on_device(type));
  if (aligned) return values;
  auto moved = at::empty({values.numel() + 1}, on_device(type)).narrow(0, 1, values.numel()).view(shape);
  moved.copy_(values);
  return moved;
}

// What an output holds before it is written.
inline at::Tensor poison(at::IntArrayRef shape, at::ScalarType type, bool aligned = true) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return at::full({count + 1}, std::nan(""), on_device(type)).narrow(0, aligned ? 0 : 1, count).view(shape);
}

// The relative error in norms is below `tolerance`, and no element is off by more than 20 times that, measured against its own
// magnitude and the root mean square of all. NaN and infinity never pass, unless the same is expected.
inline void expect_close(const at::Tensor& actual, const at::Tensor& expected, double tolerance, const std::string& what) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  if (actual.numel() == 0) return;
  const auto a = actual.detach().to(at::kDouble).reshape(-1), e = expected.detach().to(at::kDouble).reshape(-1);
  const auto difference = (a - e).abs();
  const double size = e.norm().item<double>(), root_mean_square = size / std::sqrt(static_cast<double>(e.numel()));
  const double error = difference.norm().item<double>() / (size > 0 ? size : 1.0);
  const auto good = difference.le((e.abs() + root_mean_square) * (20 * tolerance) + 1e-30).logical_or(a.eq(e));
  const int64_t num_bad = e.numel() - good.sum().item<int64_t>();
  if (error <= tolerance && num_bad == 0) return;
  const int64_t first = num_bad > 0 ? good.logical_not().nonzero()[0].item<int64_t>() : difference.argmax().item<int64_t>();
  ADD_FAILURE() << what << ": shape " << actual.sizes() << ", type " << actual.scalar_type() << ", relative error " << error
                << " where " << tolerance << " is allowed; " << num_bad << " bad elements; the "
                << (num_bad > 0 ? "first" : "largest difference") << " at " << first << ": got " << a[first].item<double>()
                << ", expected " << e[first].item<double>();
}

// Of what is computed in fp32 and stored in `type`.
inline double tolerance_of(at::ScalarType type) { return type == at::kFloat ? 2e-6 : 4e-3; }

// |got - expected| <= absolute + relative * |expected| in every element, the oracle being finite everywhere.
inline void expect_elements_close(const std::string& what, const at::Tensor& got, const at::Tensor& expected, double relative,
                         double absolute) {
  ASSERT_EQ(got.sizes(), expected.sizes()) << what;
  const auto g = got.to(at::kCPU, at::kDouble).flatten(), e = expected.to(at::kCPU, at::kDouble).flatten();
  const auto bad = ((g - e).abs() <= absolute + relative * e.abs()).logical_not().nonzero().flatten();
  if (bad.numel() == 0) return;
  std::ostringstream text;
  text << what << " " << got.sizes() << " " << got.dtype() << ": " << bad.numel() << " of " << g.numel() << " differ;";
  for (int64_t i = 0; i < std::min<int64_t>(bad.numel(), 4); ++i) {
    const auto index = bad[i].item<int64_t>();
    text << " [" << index << "] got " << g[index].item<double>() << ", expected " << e[index].item<double>() << ";";
  }
  text << " last bad index " << bad[-1].item<int64_t>();
  ADD_FAILURE() << text.str();
}

// ||got - expected|| / ||expected||, in double precision; NaN where got is not finite.
inline double relative_distance(const at::Tensor& got, const at::Tensor& expected) {
  const auto g = got.to(at::kDouble), e = expected.to(at::kDouble);
  return ((g - e).norm() / e.norm()).item<double>();
}

}  // namespace lacuna::testing
