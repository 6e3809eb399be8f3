// precision.tf32 does what it says, both ways: true fp32 without it, TF32's rounding with it.
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <c10/cuda/CUDAStream.h>
#include <gtest/gtest.h>

#include "tests/support/network.h"
#include "trainer/kernels/gemm_cuda.h"

namespace lacuna {
namespace {

// Relative error of a product of fp32 numbers.
double error_of_product(bool tf32) {
  const cuda::LinearShape shape{.element = cuda::Element::f32, .rows = 512, .in = 1024, .out = 768};
  const auto options = at::TensorOptions().device(at::kCUDA).dtype(at::kFloat);
  const auto x = at::randn({shape.rows, shape.in}, options), w = at::randn({shape.out, shape.in}, options);
  const auto y = at::empty({shape.rows, shape.out}, options);
  cuda::Gemm gemm({.tf32 = tf32});
  gemm.forward(shape, {x.data_ptr(), shape.in}, {w.data_ptr(), shape.in}, nullptr, {y.data_ptr(), shape.out}, false,
               c10::cuda::getCurrentCUDAStream());
  return testing::relative_error(y.to(at::kDouble), at::matmul(x.to(at::kDouble), w.to(at::kDouble).t()));
}

TEST(Precision, ProductsOfFp32RoundOnlyWhereTheyMay) {
  EXPECT_LT(error_of_product(false), 1e-5);
  const double rounded = error_of_product(true);
  EXPECT_GT(rounded, 1e-5);
  EXPECT_LT(rounded, 1e-3);
}

}  // namespace
}  // namespace lacuna
