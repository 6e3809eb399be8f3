// Column sums and the separate GELU passes against ATen in double precision.
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>
#include <c10/cuda/CUDAStream.h>

#include "tests/support/device_compare.h"
#include "trainer/kernels/activations_cuda.h"
#include "trainer/kernels/column_sum_cuda.h"

namespace lacuna {
namespace {

using cuda::Element;
using testing::expect_close;
using testing::random_on_device;

struct Case {
  at::ScalarType type;
  int64_t rows, columns;
  int64_t padding = 0;  // columns of the buffer beside the matrix
  bool aligned = true;

  Element element() const { return type == at::kFloat ? Element::f32 : Element::bf16; }
  std::string name(const std::string& part) const {
    return part + ", " + at::toString(type) + ", " + std::to_string(rows) + " x " + std::to_string(columns) + ", padding " +
           std::to_string(padding) + (aligned ? "" : ", not aligned");
  }
};

at::Tensor matrix(const Case& c) {
  return random_on_device({c.rows, c.columns + c.padding}, c.type, c.aligned).narrow(1, 0, c.columns);
}
at::Tensor workspace(const Case& c) {
  return testing::poison({cuda::column_sum_workspace(c.rows, c.columns) / 4 + 1}, at::kFloat);
}
cudaStream_t stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

template <typename Run>
void everywhere(const Run& run) {
  for (const auto type : testing::kComputeTypes) {
    for (const int64_t rows : {1, 7, 31, 33, 1025, 40000}) {
      for (const int64_t columns : {1, 5, 8, 31, 32, 256, 257, 264, 768}) run(Case{type, rows, columns});
    }
    run(Case{type, 1000, 264, 8});
    run(Case{type, 1000, 264, 3});
    run(Case{type, 1000, 264, 0, false});
    run(Case{type, 65, 50304});
  }
}

// |got - expected| <= tolerance * size in every element: what cancels out is as exact as what it is made of.
void expect_within(const at::Tensor& got, const at::Tensor& expected, const at::Tensor& size, double tolerance,
                   const std::string& what) {
  const auto excess = (got.to(at::kDouble) - expected).abs() - size * tolerance;
  EXPECT_LE(excess.max().item<double>(), 0) << what;  // NaN fails
}

// `from`: what the values were made of.
void expect_sums(const at::Tensor& got, const at::Tensor& start, const at::Tensor& values, const at::Tensor& from,
                 double tolerance, const std::string& what) {
  const auto before = start.to(at::kDouble);
  expect_within(got, before + values.sum(0), before.abs() + from.to(at::kDouble).abs().sum(0), tolerance, what);
}

TEST(ColumnSum, AddsToWhatIsThere) {
  everywhere([](const Case& c) {
    const auto values = matrix(c), start = random_on_device({c.columns}, at::kFloat), sums = start.clone(), space = workspace(c);
    const auto run = [&](const at::Tensor& into) {
      cuda::column_sum(c.element(), c.rows, c.columns, values.data_ptr(), values.stride(0), into.data_ptr<float>(),
                       space.data_ptr(), stream());
    };
    run(sums);
    expect_sums(sums, start, values.to(at::kDouble), values, 2e-6, c.name("column sums"));
    const auto again = start.clone();
    run(again);
    EXPECT_TRUE(at::equal(sums, again)) << c.name("column sums, repeated");
  });
}

constexpr std::array<std::pair<Nonlinearity, const char*>, 2> kGelus = {
    {{Nonlinearity::gelu, "none"}, {Nonlinearity::gelu_tanh, "tanh"}}};

TEST(Gelu, ForwardOnRowsWithGaps) {
  everywhere([](const Case& c) {
    for (const auto& [f, form] : kGelus) {
      const auto x = matrix(c).mul_(3), buffer = testing::poison({c.rows, c.columns + c.padding}, c.type, c.aligned);
      const auto y = buffer.narrow(1, 0, c.columns);
      cuda::activation(f, c.element(), c.rows, c.columns, x.data_ptr(), x.stride(0), y.data_ptr(), y.stride(0), stream());
      const auto expected = at::gelu(x.to(at::kDouble), form);
      const double rounding = testing::tolerance_of(c.type);
      expect_within(y, expected, expected.abs() + x.to(at::kDouble).abs() * (1e-6 / rounding), rounding, c.name("GELU"));
      EXPECT_TRUE(buffer.narrow(1, c.columns, c.padding).isnan().all().item<bool>()) << c.name("padding");
    }
  });
}

TEST(Gelu, BackwardAndItsColumnSums) {
  everywhere([](const Case& c) {
    for (const auto& [f, form] : kGelus) {
      const auto x = matrix(c).mul_(3), dy = matrix(c), space = workspace(c);
      const auto expected = at::gelu_backward(dy.to(at::kDouble), x.to(at::kDouble), form);
      const auto start = random_on_device({c.columns}, at::kFloat);
      for (const bool with_sums : {false, true}) {
        const auto dx = dy.clone(), sums = start.clone();
        cuda::activation_backward(f, c.element(), c.rows, c.columns, x.data_ptr(), x.stride(0), dx.data_ptr(), dx.stride(0),
                                  with_sums ? sums.data_ptr<float>() : nullptr, space.data_ptr(), stream());
        // The slope is as exact as it is of order 1, also where it is nearly 0; in bf16 its quotient is the quick one.
        const double rounding = testing::tolerance_of(c.type), slope = c.type == at::kFloat ? 2e-5 : 1e-4;
        expect_within(dx, expected, expected.abs() + dy.to(at::kDouble).abs() * (slope / rounding), rounding,
                      c.name("GELU backward"));
        if (with_sums) expect_sums(sums, start, expected, dy, slope, c.name("column sums of GELU backward"));
      }
    }
  });
}

TEST(Gelu, LargeInputsSaturate) {
  const auto x = at::tensor({-1e30, -100.0, -20.0, 0.0, 20.0, 100.0, 1e30}, testing::on_device(at::kFloat)).view({1, 7});
  for (const auto& [f, form] : kGelus) {
    const auto y = testing::poison({1, 7}, at::kFloat), dx = at::ones_like(x);
    cuda::activation(f, Element::f32, 1, 7, x.data_ptr(), 7, y.data_ptr(), 7, stream());
    expect_close(y.narrow(1, 1, 5), x.clamp_min(0).narrow(1, 1, 5), 1e-6, "GELU of large inputs");
    EXPECT_EQ(y[0][0].item<float>(), 0);
    EXPECT_EQ(y[0][6].item<float>(), 1e30f);
    cuda::activation_backward(f, Element::f32, 1, 7, x.data_ptr(), 7, dx.data_ptr(), 7, nullptr, nullptr, stream());
    expect_close(dx.narrow(1, 1, 5), at::tensor({0.0, 0.0, 0.5, 1.0, 1.0}, testing::on_device(at::kFloat)).view({1, 5}), 1e-6,
                 "GELU's slope at large inputs");
  }
}

}  // namespace
}  // namespace lacuna
