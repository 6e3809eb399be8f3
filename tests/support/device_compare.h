// Compares what a device kernel wrote with the oracle, and says enough on failure to mend the kernel from a log alone.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/ops/isfinite.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace lacuna::testing {

// |got - expected| <= absolute + relative * |expected| in every element, the oracle being finite everywhere.
inline void expect_close(const std::string& what, const at::Tensor& got, const at::Tensor& expected, double relative,
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
