// Products with GELU in their epilogues against ATen in double precision.
#include <ATen/ops/equal.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/matmul.h>
#include <c10/cuda/CUDAStream.h>

#include "tests/support/device_compare.h"
#include "trainer/kernels/gelu_products_cuda.h"

namespace lacuna {
namespace {

using namespace testing;

struct Case {
  int64_t rows, in, out, padding = 0;  // padding: columns beside every matrix
};

at::Tensor matrix(int64_t rows, int64_t columns, const Case& c) {
  return random_on_device({rows, columns + c.padding}, at::kBFloat16).narrow(1, 0, columns);
}
at::Tensor poisoned(int64_t rows, int64_t columns, const Case& c) {
  return poison({rows, columns + c.padding}, at::kBFloat16).narrow(1, 0, columns);
}
at::Tensor wide(const at::Tensor& t) { return t.to(at::kDouble); }
cudaStream_t stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

template <class Run>
void everywhere(const Run& run) {
  for (const int64_t rows : {1, 33, 128, 257, 5000}) {
    for (const auto& [in, out] : std::vector<std::array<int64_t, 2>>{{8, 8}, {64, 72}, {264, 136}, {768, 3072}}) {
      run(Case{rows, in, out});
      run(Case{rows, in, out, 16});
    }
  }
}

TEST(GeluProducts, Forward) {
  const auto space = poison({16 << 20}, at::kFloat);
  everywhere([&](const Case& c) {
    const auto x = matrix(c.rows, c.in, c), w = matrix(c.out, c.in, c).mul_(3 / std::sqrt(static_cast<double>(c.in))),
               bias = random_on_device({c.out}, at::kBFloat16), y = poisoned(c.rows, c.out, c), z = poisoned(c.rows, c.out, c);
    for (const bool with_bias : {true, false}) {
      const cuda::GeluProduct product{.rows = c.rows,
                                      .in = c.in,
                                      .out = c.out,
                                      .activation = x.data_ptr(),
                                      .activation_stride = x.stride(0),
                                      .weight = w.data_ptr(),
                                      .weight_stride = w.stride(0),
                                      .bias = with_bias ? bias.data_ptr() : nullptr,
                                      .result = y.data_ptr(),
                                      .result_stride = y.stride(0),
                                      .pre_activation = z.data_ptr(),
                                      .pre_activation_stride = z.stride(0),
                                      .workspace = space.data_ptr(),
                                      .workspace_bytes = static_cast<int64_t>(space.nbytes())};
      ASSERT_TRUE(cuda::can_gelu_product(product));
      cuda::gelu_product(product, stream());
      auto expected = at::matmul(wide(x), wide(w).t());
      if (with_bias) expected = expected + wide(bias);
      const auto what = std::to_string(c.rows) + " x " + std::to_string(c.in) + " x " + std::to_string(c.out);
      expect_close(z, expected, 4e-3, what + ", before GELU");
      expect_close(y, at::gelu(expected, "tanh"), 6e-3, what + ", GELU");
    }
  });
}

TEST(GeluProducts, BackwardAndItsColumnSums) {
  const auto space = poison({16 << 20}, at::kFloat);
  everywhere([&](const Case& c) {
    const auto dy = matrix(c.rows, c.out, c), w = matrix(c.out, c.in, c).mul_(1 / std::sqrt(static_cast<double>(c.out))),
               z = matrix(c.rows, c.in, c).mul_(2), dz = poisoned(c.rows, c.in, c), sums = poison({c.in}, at::kFloat);
    const cuda::GeluProduct product{.rows = c.rows,
                                    .in = c.in,
                                    .out = c.out,
                                    .activation = dy.data_ptr(),
                                    .activation_stride = dy.stride(0),
                                    .weight = w.data_ptr(),
                                    .weight_stride = w.stride(0),
                                    .result = dz.data_ptr(),
                                    .result_stride = dz.stride(0),
                                    .pre_activation = z.data_ptr(),
                                    .pre_activation_stride = z.stride(0),
                                    .sums = sums.data_ptr<float>(),
                                    .workspace = space.data_ptr(),
                                    .workspace_bytes = static_cast<int64_t>(space.nbytes())};
    ASSERT_TRUE(cuda::can_gelu_product_backward(product));
    cuda::gelu_product_backward(product, stream());
    const auto expected = at::gelu_backward(at::matmul(wide(dy), wide(w)), wide(z), "tanh");
    const auto what = std::to_string(c.rows) + " x " + std::to_string(c.in) + " x " + std::to_string(c.out);
    expect_close(dz, expected, 6e-3, what + ", gradient");
    const double scale = expected.abs().sum(0).norm().item<double>() / (expected.sum(0).norm().item<double>() + 1e-30);
    expect_close(sums, expected.sum(0), 1e-3 * std::max(1.0, scale), what + ", column sums");
    const auto first = sums.clone();
    cuda::gelu_product_backward(product, stream());
    EXPECT_TRUE(at::equal(sums, first)) << what << ", column sums of a second run";
  });
}

TEST(GeluProducts, WhatDoesNotFitIsNotOffered) {
  const auto memory = random_on_device({4096}, at::kBFloat16);
  cuda::GeluProduct product{.rows = 16,
                            .in = 16,
                            .out = 16,
                            .activation = memory.data_ptr(),
                            .activation_stride = 16,
                            .weight = memory.data_ptr(),
                            .weight_stride = 16,
                            .result = memory.data_ptr(),
                            .result_stride = 16,
                            .pre_activation = memory.data_ptr(),
                            .pre_activation_stride = 16,
                            .workspace = memory.data_ptr(),
                            .workspace_bytes = 1 << 20};
  EXPECT_TRUE(cuda::can_gelu_product(product));
  auto odd = product;
  odd.weight_stride = 17;
  EXPECT_FALSE(cuda::can_gelu_product(odd));
  odd = product;
  odd.result = static_cast<char*>(product.result) + 2;
  EXPECT_FALSE(cuda::can_gelu_product(odd));
  odd = product;
  odd.sums = reinterpret_cast<float*>(memory.data_ptr());
  odd.workspace_bytes = 0;
  EXPECT_FALSE(cuda::can_gelu_product_backward(odd));
}

}  // namespace
}  // namespace lacuna
