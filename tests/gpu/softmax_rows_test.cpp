// The loss kernels against log_softmax of ATen in double precision on the same logits.
#include "trainer/kernels/softmax_rows.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/cuda/CUDAStream.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/device_compare.h"
#include "trainer/kernels/softmax_rows_cuda.h"

namespace lacuna {
namespace {

using cuda::Element;
using cuda::SoftmaxOptions;
using testing::expect_elements_close;

struct Case {
  int64_t num_rows, columns, real, stride;
  at::ScalarType type;
  SoftmaxOptions options = {};

  std::string name() const {
    std::ostringstream text;
    text << num_rows << " rows of " << columns << " (real " << real << ", stride " << stride << ") " << type << ", z_loss "
         << options.z_loss << ", smoothing " << options.smoothing;
    return text.str();
  }
};

at::TensorOptions on_device(at::ScalarType type) { return at::TensorOptions().device(at::kCUDA).dtype(type); }

// Rows of a wider buffer whose other columns hold a number that must stay.
struct Inputs {
  at::Tensor buffer, logits, targets, weights, loss_rows;
  explicit Inputs(const Case& c, double spread = 3)
      : buffer((at::randn({c.num_rows, c.stride}, on_device(at::kFloat)) * spread).to(c.type)),
        logits(buffer.narrow(1, 0, c.columns)),
        targets(at::randint(c.real, {c.num_rows}, on_device(at::kInt))),
        weights(at::rand({c.num_rows}, on_device(at::kFloat)) + 0.25),
        loss_rows(at::full({c.num_rows}, NAN, on_device(at::kFloat))) {
    if (c.columns < c.stride) buffer.narrow(1, c.columns, c.stride - c.columns).fill_(7);
    if (c.num_rows > 2) weights[c.num_rows / 2].fill_(0);
    targets[0].fill_(c.real - 1);  // the last column, beside the padding
    if (c.num_rows > 1) targets[c.num_rows - 1].fill_(0);
  }
  cuda::LogitRows rows(int64_t real, int64_t first = 0) const {
    return {.logits = logits.data_ptr(),
            .element = logits.scalar_type() == at::kFloat ? Element::f32 : Element::bf16,
            .num_rows = logits.size(0),
            .columns = logits.size(1),
            .stride = logits.stride(0),
            .real = real,
            .targets = targets.const_data_ptr<int32_t>(),
            .first = first};
  }
};

struct Expected {
  at::Tensor loss_rows, gradient;
};

Expected oracle(const Inputs& in, const Case& c) {
  const auto z = in.logits.narrow(1, 0, c.real).to(at::kDouble), w = in.weights.to(at::kDouble).unsqueeze(1);
  const auto target = in.targets.to(at::kLong).unsqueeze(1);
  const auto lse = at::logsumexp(z, {1}, true);
  const double e = c.options.smoothing, zl = c.options.z_loss;
  const auto loss = lse - (1 - e) * z.gather(1, target) - e * z.mean(1, true);
  auto slope = at::softmax(z, 1) * (1 + 2 * zl * lse) - e / static_cast<double>(c.real);
  slope.scatter_add_(1, target, at::full(target.sizes(), e - 1, slope.options()));
  auto gradient = at::zeros({c.num_rows, c.columns}, slope.options());
  gradient.narrow(1, 0, c.real).copy_(slope * w);
  return {(loss * w).squeeze(1), gradient};
}

// bf16: half a unit in the last place of the result, 2^-9, and a little for what was rounded.
double tolerance(at::ScalarType type) { return type == at::kFloat ? 2e-5 : 4.1e-3; }
// Of few columns one has nearly all probability, and what it lacks of 1 is small.
double slack(int64_t columns) { return columns < 1000 ? 3e-6 : 2e-8; }

void check_loss(const Case& c, double spread = 3) {
  SCOPED_TRACE(c.name());
  const Inputs in(c, spread);
  const auto expected = oracle(in, c);
  const auto before = in.buffer.clone();
  const auto stream = c10::cuda::getCurrentCUDAStream();
  cuda::softmax_loss(in.rows(c.real), in.weights.const_data_ptr<float>(), in.loss_rows.data_ptr<float>(), false, c.options,
                     stream);
  expect_elements_close("loss alone", in.loss_rows, expected.loss_rows, 2e-5, 1e-5 * spread);
  EXPECT_TRUE(in.buffer.equal(before)) << "the logits were written without a gradient being asked for";

  in.loss_rows.fill_(NAN);
  cuda::softmax_loss(in.rows(c.real), in.weights.const_data_ptr<float>(), in.loss_rows.data_ptr<float>(), true, c.options,
                     stream);
  expect_elements_close("loss with gradient", in.loss_rows, expected.loss_rows, 2e-5, 1e-5 * spread);
  expect_elements_close("gradient", in.logits, expected.gradient, tolerance(c.type), slack(c.columns));
  if (c.columns > c.real) {
    EXPECT_TRUE(in.logits.narrow(1, c.real, c.columns - c.real).eq(0).all().item<bool>()) << "padding without exact zeros";
  }
  if (c.num_rows > 2) {
    EXPECT_TRUE(in.logits[c.num_rows / 2].eq(0).all().item<bool>()) << "a row of weight 0 without exact zeros";
  }
  if (c.columns < c.stride) {
    EXPECT_TRUE(in.buffer.narrow(1, c.columns, c.stride - c.columns).eq(7).all().item<bool>()) << "written beyond the row";
  }
}

double loss_of(const at::Tensor& parts, const at::Tensor& weights) {
  auto total = at::zeros({1}, parts.options().dtype(at::kDouble));
  add_weighted_loss(total, parts, weights);
  return total.item<double>();
}

TEST(SoftmaxLossOnDevice, ColumnsAroundVectorAndWarpWidth) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    for (const int64_t columns :
         {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 127, 128, 129, 255, 256, 257, 1000, 4096, 4099, 8200}) {
      check_loss({5, columns, columns, columns, type});
      if (columns > 2) check_loss({4, columns, columns - 2, columns + 3, type});  // rows without alignment, padding
      const int64_t stride = (columns + 15) / 16 * 16;
      check_loss({3, stride, columns, stride + 16, type});  // aligned rows with padding, which take the resident path
    }
  }
}

TEST(SoftmaxLossOnDevice, Vocabularies) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    check_loss({9, 50304, 50304, 50304, type});
    check_loss({9, 50304, 50257, 50304, type});
    check_loss({5, 50257, 50257, 50257, type});     // not aligned: read twice
    check_loss({5, 57344, 57340, 57344, type});     // the most that one block holds in bf16
    check_loss({5, 57352, 57345, 57352, type});     // and a vector more
    check_loss({7, 151936, 151936, 151936, type});  // a cluster
    check_loss({3, 151936, 151643, 151936, type});
    check_loss({2, 460000, 459999, 460000, type});  // longer than a cluster holds
  }
}

TEST(SoftmaxLossOnDevice, SmoothingAndZLoss) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    for (const SoftmaxOptions options : {SoftmaxOptions{1e-2F, 0}, SoftmaxOptions{0, 0.1F}, SoftmaxOptions{1e-3F, 0.2F}}) {
      check_loss({5, 33, 31, 33, type, options});
      check_loss({5, 512, 500, 512, type, options});
      check_loss({4, 50304, 50257, 50304, type, options});
      check_loss({3, 151936, 151643, 151936, type, options});
    }
  }
}

TEST(SoftmaxLossOnDevice, ManyRowsAndLargeLogits) {
  check_loss({3000, 512, 500, 512, at::kBFloat16});
  check_loss({700, 50304, 50257, 50304, at::kBFloat16});
  check_loss({300, 151936, 151643, 151936, at::kBFloat16});
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    check_loss({4, 1024, 1000, 1024, type}, 1e4);
    check_loss({4, 50304, 50257, 50304, type}, 1e30);
  }
}

TEST(SoftmaxLossOnDevice, MinusInfinityHasNoProbability) {
  for (const int64_t columns : {33, 512, 50304, 151936}) {
    const Case c{3, columns, columns, columns, at::kBFloat16};
    const Inputs in(c);
    const double low = -std::numeric_limits<double>::infinity();
    in.logits.narrow(1, 0, columns / 2).fill_(low);  // whole threads see nothing else
    in.targets.fill_(static_cast<int64_t>(columns - 1));
    const auto z = in.logits.to(at::kDouble);
    const auto expected = -at::log_softmax(z, 1).select(1, columns - 1) * in.weights;
    cuda::softmax_loss(in.rows(columns), in.weights.const_data_ptr<float>(), in.loss_rows.data_ptr<float>(), true, {},
                       c10::cuda::getCurrentCUDAStream());
    expect_elements_close(c.name(), in.loss_rows, expected, 2e-5, 3e-5);
    EXPECT_TRUE(in.logits.narrow(1, 0, columns / 2).eq(0).all().item<bool>()) << c.name();
  }
}

TEST(SoftmaxLossOnDevice, WhatIsNotFiniteSurfacesUnlessItsWeightIsZero) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const int64_t columns : {33, 512, 50304, 151936}) {
    for (const double value : {std::nan(""), infinity}) {
      for (const bool gradient : {false, true}) {
        const Case c{4, columns, columns, columns, at::kBFloat16};
        const Inputs in(c);
        in.logits[1][columns / 3].fill_(value);
        in.logits[2].fill_(std::nan(""));  // weight 0
        in.logits[3].fill_(value);
        cuda::softmax_loss(in.rows(columns), in.weights.const_data_ptr<float>(), in.loss_rows.data_ptr<float>(), gradient, {},
                           c10::cuda::getCurrentCUDAStream());
        const auto loss = in.loss_rows.to(at::kCPU);
        const std::string what = c.name() + ", value " + std::to_string(value) + ", gradient " + std::to_string(gradient);
        EXPECT_TRUE(std::isfinite(loss[0].item<float>())) << what;
        EXPECT_FALSE(std::isfinite(loss[1].item<float>())) << what;
        EXPECT_EQ(loss[2].item<float>(), 0) << what;
        EXPECT_FALSE(std::isfinite(loss[3].item<float>())) << what;
        if (!gradient) continue;
        EXPECT_TRUE(at::isnan(in.logits[1]).any().item<bool>()) << what;
        EXPECT_TRUE(in.logits[2].eq(0).all().item<bool>()) << what;
        EXPECT_TRUE(at::isnan(in.logits[3]).all().item<bool>()) << what;
      }
    }
  }
}

TEST(SoftmaxLossOnDevice, ARepeatGivesTheSameBits) {
  for (const int64_t columns : {50304, 151936}) {
    const Case c{64, columns, columns, columns, at::kBFloat16};
    const Inputs in(c);
    const auto saved = in.logits.clone();
    at::Tensor loss, gradient;
    for (int i = 0; i < 3; ++i) {
      in.logits.copy_(saved);
      cuda::softmax_loss(in.rows(columns), in.weights.const_data_ptr<float>(), in.loss_rows.data_ptr<float>(), true, {},
                         c10::cuda::getCurrentCUDAStream());
      if (i == 0) {
        loss = in.loss_rows.clone();
        gradient = in.logits.clone();
      }
      EXPECT_TRUE(in.loss_rows.equal(loss)) << c.name();
      EXPECT_TRUE(in.logits.equal(gradient)) << c.name();
    }
  }
}

// Ranks of a split vocabulary, the last of which has padding only.
TEST(SoftmaxPartsOnDevice, RanksJoinedEqualTheWhole) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    for (const int64_t local : {8, 33, 1000, 12576, 37984}) {
      const int64_t ranks = 4, vocabulary = local * 3 - 5;
      const Case whole{6, vocabulary, vocabulary, vocabulary, type};
      SCOPED_TRACE(whole.name());
      const Inputs in(whole);
      const auto expected = oracle(in, whole);
      std::vector<at::Tensor> slices, parts;
      for (int64_t r = 0; r < ranks; ++r) {
        const int64_t real = std::clamp<int64_t>(vocabulary - local * r, 0, local);
        auto slice = at::full({whole.num_rows, local}, NAN, on_device(type));  // padding may hold anything
        if (real > 0) slice.narrow(1, 0, real).copy_(in.logits.narrow(1, local * r, real));
        slices.push_back(slice);
        parts.push_back(softmax_parts(slice, real, in.targets, local * r));
      }
      const auto joined = combine_softmax_parts(at::stack(parts));
      EXPECT_NEAR(loss_of(joined, in.weights), expected.loss_rows.sum().item<double>(), 1e-3) << "joined:\n" << joined;
      for (int64_t r = 0; r < ranks; ++r) {
        const int64_t real = std::clamp<int64_t>(vocabulary - local * r, 0, local);
        softmax_gradient(slices[r], real, in.targets, local * r, joined, in.weights, 0);
        EXPECT_TRUE(slices[r].narrow(1, real, local - real).eq(0).all().item<bool>()) << "padding of rank " << r;
        if (real == 0) continue;
        expect_elements_close("gradient of rank " + std::to_string(r), slices[r].narrow(1, 0, real),
                     expected.gradient.narrow(1, local * r, real), tolerance(type), slack(vocabulary));
      }
    }
  }
}

TEST(SoftmaxPartsOnDevice, NaNOfOneRankSurfaces) {
  const auto options = on_device(at::kFloat);
  auto parts = at::zeros({2, 1, 3}, options);
  parts[0][0][0].fill_(1.5);
  parts[0][0][1].fill_(2);
  parts[1][0][0].fill_(-1);
  parts[1][0][1].fill_(NAN);
  EXPECT_TRUE(std::isnan(loss_of(combine_softmax_parts(parts), at::full({1}, 1.0, options))));
}

TEST(AddSumOnDevice, AddsToWhatIsThere) {
  for (const int64_t n : {1, 31, 1024, 1025, 65536, 100003}) {
    const auto values = at::randn({n}, on_device(at::kFloat)) * 1e3;
    auto total = at::full({}, 0.5, on_device(at::kDouble));
    for (int i = 0; i < 2; ++i) {
      cuda::add_sum(total.data_ptr<double>(), values.const_data_ptr<float>(), n, c10::cuda::getCurrentCUDAStream());
    }
    const double expected = 0.5 + 2 * values.to(at::kDouble).sum().item<double>();
    EXPECT_NEAR(total.item<double>(), expected, 1e-9 * static_cast<double>(n) * 1e3) << n;
  }
}

}  // namespace
}  // namespace lacuna
