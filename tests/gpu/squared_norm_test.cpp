// Sums of squares on the device against ATen in double precision.
#include "trainer/kernels/squared_norm.h"

#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAStream.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/device_compare.h"
#include "trainer/kernels/line_mask.h"
#include "trainer/kernels/squared_norm_cuda.h"

namespace lacuna {
namespace {

at::TensorOptions on_device(at::ScalarType type) { return at::TensorOptions().device(at::kCUDA).dtype(type); }

at::Tensor sums_of(const at::Tensor& values, const at::Tensor& mask, int64_t begin) {
  const auto sums = at::full({2}, NAN, on_device(at::kDouble));
  const auto workspace = at::full({cuda::kSquaredNormWorkspace}, NAN, on_device(at::kDouble));
  cuda::squared_norm(sums.data_ptr<double>(), values.const_data_ptr<float>(), values.numel(),
                     mask.defined() ? reinterpret_cast<const uint32_t*>(mask.const_data_ptr<int32_t>()) : nullptr, begin,
                     workspace.data_ptr<double>(), c10::cuda::getCurrentCUDAStream());
  return sums.to(at::kCPU);
}

double squares(const at::Tensor& values) { return values.to(at::kDouble).square().sum().item<double>(); }

TEST(SquaredNormOnDevice, EqualsTheSumInDouble) {
  for (const int64_t n : {0, 1, 3, 4, 31, 32, 33, 4095, 4096, 4097, 70000, 528 * 4096, 528 * 4096 + 5, 20'000'003}) {
    const auto values = at::randn({n}, on_device(at::kFloat));
    const double expected = squares(values);
    EXPECT_NEAR(squared_norm(values).item<double>(), expected, 1e-6 * expected) << n;
    EXPECT_EQ(sums_of(values, {}, 0)[1].item<double>(), 0) << n;
  }
}

TEST(SquaredNormOnDevice, MarkedLinesAreSummedApart) {
  for (const int64_t begin : {int64_t{0}, int64_t{32}, int64_t{1056}}) {
    for (const int64_t count : {32, 4096, 4128, 30000}) {
      const auto flat = at::randn({begin + count}, on_device(at::kFloat));
      auto mask = empty_line_mask(flat.numel());
      const auto mark = [&](int64_t offset, int64_t length) {
        if (offset < flat.numel()) mark_lines(mask, offset, std::min(length, flat.numel() - offset));
      };
      mark(0, 1);
      mark(64, 1);
      mark(1024, 5000);
      auto is_set = at::zeros({flat.numel()}, at::kDouble);
      for (int64_t line = 0; line < (flat.numel() + 31) / 32; ++line) {
        if ((mask[line / 32] >> (line % 32)) & 1) is_set.slice(0, line * 32, line * 32 + 32).fill_(1);
      }
      const auto device_mask = at::tensor(std::vector<int64_t>(mask.begin(), mask.end()), at::kLong).to(at::kInt).to(at::kCUDA);
      const auto values = flat.narrow(0, begin, count);
      const auto got = sums_of(values, device_mask, begin);
      const auto marks = is_set.to(at::kCUDA).narrow(0, begin, count);
      const double set = squares(values.to(at::kDouble) * marks), clear = squares(values.to(at::kDouble) * (1 - marks));
      EXPECT_NEAR(got[0].item<double>(), clear, 1e-6 * clear) << begin << " " << count;
      EXPECT_NEAR(got[1].item<double>(), set, 1e-6 * set) << begin << " " << count;
    }
  }
}

TEST(SquaredNormOnDevice, OneElementThatIsNotFiniteShows) {
  for (const double value : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    for (const int64_t where : {0, 4095, 4096, 69999}) {
      auto values = at::randn({70000}, on_device(at::kFloat));
      values[where].fill_(value);
      EXPECT_FALSE(std::isfinite(squared_norm(values).item<double>())) << value << " at " << where;
    }
  }
}

TEST(SquaredNormOnDevice, ARepeatGivesTheSameBits) {
  const auto values = at::randn({10'000'000}, on_device(at::kFloat));
  const double first = squared_norm(values).item<double>();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(squared_norm(values).item<double>(), first);
}

}  // namespace
}  // namespace lacuna
