// The matrix products of a linear layer against ATen's in double precision, in every way that the façade may choose.
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/cuda/CUDAStream.h>

#include <optional>
#include <sstream>

#include "data/error.h"
#include "tests/support/device_compare.h"
#include "tests/support/temporary_folder.h"
#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/gemm_cuda.h"

namespace lacuna {
namespace {

using cuda::Element;
using cuda::Fusion;
using cuda::Gemm;
using cuda::GemmOptions;
using cuda::LinearShape;
using testing::expect_close;
using testing::poison;
using testing::random_on_device;

constexpr double kProduct32 = 1e-5;  // of fp32 numbers; TF32 would be off by 3e-4
constexpr double kSums32 = 1e-4;     // kept in fp32 by tensor cores, which cut off instead of rounding; bf16 would be off by 1e-3

struct Mode {
  const char* name;
  GemmOptions options;
};
const std::vector<Mode>& modes() {
  static const std::vector<Mode> all = {{"by time", {}},
                                        {"fused", {.fusion = Fusion::always}},
                                        {"separate", {.num_suggestions = 1, .fusion = Fusion::never}},
                                        {"deterministic", {.deterministic = true}}};
  return all;
}

// Rows that are odd in number, around a warp, and many; features that are multiples of 8.
const std::vector<LinearShape>& shapes() {
  static const std::vector<LinearShape> all = [] {
    std::vector<LinearShape> made;
    for (const auto element : {Element::bf16, Element::f32}) {
      for (const auto& [rows, in, out] :
           std::vector<std::array<int64_t, 3>>{{1, 64, 64}, {33, 8, 24}, {257, 96, 72}, {1000, 768, 2304}, {4096, 768, 768}}) {
        made.push_back({element, rows, in, out});
      }
    }
    return made;
  }();
  return all;
}

at::ScalarType type_of(const LinearShape& s) { return s.element == Element::bf16 ? at::kBFloat16 : at::kFloat; }
double product_tolerance(const LinearShape& s) { return s.element == Element::bf16 ? 3e-3 : kProduct32; }
double gelu_tolerance(const LinearShape& s) { return s.element == Element::bf16 ? 6e-3 : 2 * kProduct32; }
cudaStream_t stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

std::string name(const Mode& mode, const LinearShape& s, const std::string& part) {
  std::ostringstream text;
  text << part << ", " << mode.name << ", " << cuda::name_of(s.element) << ", rows " << s.rows << ", in " << s.in << ", out "
       << s.out;
  return text.str();
}

cuda::GemmInput in(const at::Tensor& t) { return {t.data_ptr(), t.stride(0)}; }
cuda::GemmOutput out(const at::Tensor& t) { return {t.data_ptr(), t.stride(0)}; }
at::Tensor wide(const at::Tensor& t) { return t.to(at::kDouble); }

// `run` for every mode and shape.
template <typename Run>
void everywhere(const Run& run) {
  for (const auto& mode : modes()) {
    Gemm gemm(mode.options);
    for (const auto& shape : shapes()) run(gemm, mode, shape);
  }
}

TEST(Gemm, ForwardAddsTheBiasAndAccumulates) {
  everywhere([](Gemm& gemm, const Mode& mode, const LinearShape& s) {
    const auto type = type_of(s);
    const auto x = random_on_device({s.rows, s.in}, type), w = random_on_device({s.out, s.in}, type);
    const auto bias = random_on_device({s.out}, type) * 10;
    const auto product = at::matmul(wide(x), wide(w).t());
    for (const bool with_bias : {false, true}) {
      const auto expected = with_bias ? product + wide(bias) : product;
      const auto* given = with_bias ? bias.data_ptr() : nullptr;
      const auto y = poison({s.rows, s.out}, type);
      gemm.forward(s, in(x), in(w), given, out(y), false, stream());
      expect_close(y, expected, product_tolerance(s), name(mode, s, with_bias ? "forward, bias" : "forward"));
      const auto residual = random_on_device({s.rows, s.out}, type) * 20, sum = residual.clone();
      gemm.forward(s, in(x), in(w), given, out(sum), true, stream());
      expect_close(sum, expected + wide(residual), product_tolerance(s), name(mode, s, "forward into a residual"));
    }
  });
}

TEST(Gemm, ForwardGeluKeepsWhatItsBackwardNeeds) {
  everywhere([](Gemm& gemm, const Mode& mode, const LinearShape& s) {
    const auto type = type_of(s);
    // Scaled so that pre-activations are of order one, where GELU bends.
    const auto x = random_on_device({s.rows, s.in}, type) / std::sqrt(static_cast<double>(s.in));
    const auto w = random_on_device({s.out, s.in}, type), bias = random_on_device({s.out}, type);
    for (const bool with_bias : {false, true}) {
      const auto expected = at::matmul(wide(x), wide(w).t()) + (with_bias ? wide(bias) : at::zeros_like(wide(bias)));
      const auto y = poison({s.rows, s.out}, type), pre = poison({s.rows, s.out}, type);
      gemm.forward_gelu(s, in(x), in(w), with_bias ? bias.data_ptr() : nullptr, out(y), out(pre), stream());
      expect_close(pre, expected, product_tolerance(s), name(mode, s, "pre-activation"));
      expect_close(y, at::gelu(expected, "tanh"), gelu_tolerance(s), name(mode, s, "GELU"));
    }
  });
}

TEST(Gemm, InputGradient) {
  everywhere([](Gemm& gemm, const Mode& mode, const LinearShape& s) {
    const auto type = type_of(s);
    const auto dy = random_on_device({s.rows, s.out}, type), w = random_on_device({s.out, s.in}, type);
    const auto expected = at::matmul(wide(dy), wide(w));
    const auto dx = poison({s.rows, s.in}, type);
    gemm.input_gradient(s, in(dy), in(w), out(dx), false, stream());
    expect_close(dx, expected, product_tolerance(s), name(mode, s, "input gradient"));
    const auto before = random_on_device({s.rows, s.in}, type) * 20, sum = before.clone();
    gemm.input_gradient(s, in(dy), in(w), out(sum), true, stream());
    expect_close(sum, expected + wide(before), product_tolerance(s), name(mode, s, "input gradient, added"));
  });
}

TEST(Gemm, InputGradientGoesThroughGelu) {
  everywhere([](Gemm& gemm, const Mode& mode, const LinearShape& s) {
    const auto type = type_of(s);
    const auto dy = random_on_device({s.rows, s.out}, type), w = random_on_device({s.out, s.in}, type);
    const auto pre = random_on_device({s.rows, s.in}, type) * 1.5;
    const auto expected = at::gelu_backward(at::matmul(wide(dy), wide(w)), wide(pre), "tanh");
    const auto start = random_on_device({s.in}, at::kFloat);
    for (const bool with_bias : {false, true}) {
      const auto dz = poison({s.rows, s.in}, type), sums = start.clone();
      gemm.input_gradient_gelu(s, in(dy), in(w), in(pre), out(dz), with_bias ? sums.data_ptr<float>() : nullptr, stream());
      expect_close(dz, expected, gelu_tolerance(s), name(mode, s, "gradient through GELU"));
      const auto expected_sums = with_bias ? wide(start) + expected.sum(0) : wide(start);
      expect_close(sums, expected_sums, with_bias ? gelu_tolerance(s) : 1e-12, name(mode, s, "bias gradient through GELU"));
    }
  });
}

TEST(Gemm, WeightGradientAccumulatesInSinglePrecision) {
  everywhere([](Gemm& gemm, const Mode& mode, const LinearShape& s) {
    const auto type = type_of(s);
    const auto dy = random_on_device({s.rows, s.out}, type), x = random_on_device({s.rows, s.in}, type);
    const auto expected = at::matmul(wide(dy).t(), wide(x)), expected_sums = wide(dy).sum(0);
    for (const bool with_bias : {false, true}) {
      const auto dw = poison({s.out, s.in}, at::kFloat), start = random_on_device({s.out}, at::kFloat), sums = start.clone();
      auto* given = with_bias ? sums.data_ptr<float>() : nullptr;
      gemm.weight_gradient(s, in(dy), in(x), dw.data_ptr<float>(), s.in, false, given, stream());
      expect_close(dw, expected, kSums32, name(mode, s, "weight gradient"));
      gemm.weight_gradient(s, in(dy), in(x), dw.data_ptr<float>(), s.in, true, given, stream());
      expect_close(dw, 2 * expected, kSums32, name(mode, s, "weight gradient, added"));
      expect_close(sums, wide(start) + (with_bias ? 2 * expected_sums : at::zeros_like(expected_sums)), kSums32,
                   name(mode, s, "bias gradient"));
    }
  });
}

TEST(Gemm, OddFeatures) {
  for (const auto& mode : modes()) {
    Gemm gemm(mode.options);
    for (const auto element : {Element::bf16, Element::f32}) {
      const LinearShape s{element, 45, 7, 13};
      const auto type = type_of(s);
      const auto x = random_on_device({s.rows, s.in}, type), w = random_on_device({s.out, s.in}, type);
      const auto dy = random_on_device({s.rows, s.out}, type), pre = random_on_device({s.rows, s.in}, type);
      const auto bias = random_on_device({s.out}, type);
      const auto y = poison({s.rows, s.out}, type), kept = poison({s.rows, s.out}, type), dz = poison({s.rows, s.in}, type);
      const auto dw = poison({s.out, s.in}, at::kFloat), sums = at::zeros({s.in}, testing::on_device(at::kFloat));
      gemm.forward_gelu(s, in(x), in(w), bias.data_ptr(), out(y), out(kept), stream());
      expect_close(y, at::gelu(at::matmul(wide(x), wide(w).t()) + wide(bias), "tanh"), gelu_tolerance(s), name(mode, s, "odd"));
      gemm.input_gradient_gelu(s, in(dy), in(w), in(pre), out(dz), sums.data_ptr<float>(), stream());
      const auto expected = at::gelu_backward(at::matmul(wide(dy), wide(w)), wide(pre), "tanh");
      expect_close(dz, expected, gelu_tolerance(s), name(mode, s, "odd, gradient"));
      expect_close(sums, expected.sum(0), gelu_tolerance(s), name(mode, s, "odd, bias gradient"));
      gemm.weight_gradient(s, in(dy), in(x), dw.data_ptr<float>(), s.in, false, nullptr, stream());
      expect_close(dw, at::matmul(wide(dy).t(), wide(x)), kSums32, name(mode, s, "odd, weight gradient"));
    }
  }
}

TEST(Gemm, SlicesOfPackedBuffersAreReadAndWrittenInPlace) {
  for (const auto& mode : modes()) {
    Gemm gemm(mode.options);
    const LinearShape s{Element::bf16, 129, 64, 48};
    const auto packed_x = random_on_device({s.rows, 3 * s.in}, at::kBFloat16), x = packed_x.narrow(1, s.in, s.in);
    const auto packed_w = random_on_device({s.out, 2 * s.in}, at::kBFloat16), w = packed_w.narrow(1, s.in, s.in);
    const auto packed_y = random_on_device({s.rows, 3 * s.out}, at::kBFloat16), before = packed_y.clone();
    const auto y = packed_y.narrow(1, s.out, s.out);
    gemm.forward(s, in(x), in(w), nullptr, out(y), false, stream());
    expect_close(y, at::matmul(wide(x), wide(w).t()), 3e-3, name(mode, s, "slice"));
    for (const int64_t neighbour : {int64_t{0}, 2 * s.out}) {
      EXPECT_TRUE(at::equal(packed_y.narrow(1, neighbour, s.out), before.narrow(1, neighbour, s.out))) << mode.name;
    }
    const auto wide_dw = random_on_device({s.out, 2 * s.in}, at::kFloat), start = wide_dw.clone();
    const auto dw = wide_dw.narrow(1, 0, s.in);
    gemm.weight_gradient(s, in(y), in(x), dw.data_ptr<float>(), 2 * s.in, true, nullptr, stream());
    expect_close(dw, wide(start.narrow(1, 0, s.in)) + at::matmul(wide(y).t(), wide(x)), kSums32, name(mode, s, "slice of dw"));
    EXPECT_TRUE(at::equal(wide_dw.narrow(1, s.in, s.in), start.narrow(1, s.in, s.in))) << mode.name;
  }
}

TEST(Gemm, DeterministicMeansTheSameBitsFromAnotherObject) {
  const LinearShape s{Element::bf16, 16384, 768, 768};
  const auto dy = random_on_device({s.rows, s.out}, at::kBFloat16), x = random_on_device({s.rows, s.in}, at::kBFloat16);
  std::optional<at::Tensor> first;
  for (int i = 0; i < 3; ++i) {
    Gemm gemm({.deterministic = true});
    const auto both = poison({s.out + 1, s.in}, at::kFloat);
    both[s.out].zero_();
    gemm.weight_gradient(s, in(dy), in(x), both.data_ptr<float>(), s.in, false, both[s.out].data_ptr<float>(), stream());
    if (!first) first = both;
    EXPECT_TRUE(at::equal(*first, both)) << "repeat " << i;
  }
}

TEST(Gemm, ChoicesAreTimedOnceAndKept) {
  const testing::TemporaryFolder folder;
  const GemmOptions options{.choices_file = folder / "choices.txt"};
  const LinearShape s{Element::bf16, 512, 256, 1024};
  const auto x = random_on_device({s.rows, s.in}, at::kBFloat16), w = random_on_device({s.out, s.in}, at::kBFloat16);
  const auto expected = at::gelu(at::matmul(wide(x), wide(w).t()), "tanh");
  const auto run = [&] {
    Gemm gemm(options);
    const auto y = poison({s.rows, s.out}, at::kBFloat16), pre = poison({s.rows, s.out}, at::kBFloat16);
    gemm.forward_gelu(s, in(x), in(w), nullptr, out(y), out(pre), stream());
    expect_close(y, expected, 6e-3, "GELU with a file of choices");
    return gemm.report();
  };
  const auto first = run();
  EXPECT_GT(first.num_timed, 0);
  EXPECT_EQ(first.num_from_file, 0);
  EXPECT_EQ(first.note, "");
  const auto second = run();
  EXPECT_EQ(second.num_timed, 0);
  EXPECT_EQ(second.num_from_file, first.num_timed);
  std::filesystem::resize_file(options.choices_file, 40);
  const auto third = run();
  EXPECT_EQ(third.num_timed, first.num_timed);
  EXPECT_NE(third.note.find("damaged"), std::string::npos) << third.note;
  EXPECT_EQ(run().num_timed, 0);
}

TEST(Gemm, IsCapturedInAGraphOnceItHasAPlan) {
  Gemm gemm;
  const LinearShape s{Element::bf16, 256, 128, 512};
  const auto x = random_on_device({s.rows, s.in}, at::kBFloat16), w = random_on_device({s.out, s.in}, at::kBFloat16);
  const auto y = poison({s.rows, s.out}, at::kBFloat16);
  const auto own = c10::cuda::getStreamFromPool();
  cuda::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  const auto call = [&] { gemm.forward(s, in(x), in(w), nullptr, out(y), false, own.stream()); };
  cudaGraph_t graph = nullptr;
  cuda::check(cudaStreamBeginCapture(own.stream(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  try {
    call();
    ADD_FAILURE() << "a shape without a plan was captured";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("run one step"), std::string::npos) << error.what();
  }
  cuda::check(cudaStreamEndCapture(own.stream(), &graph), "cudaStreamEndCapture");
  cuda::check(cudaGraphDestroy(graph), "cudaGraphDestroy");

  call();
  cuda::check(cudaStreamBeginCapture(own.stream(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  call();
  cuda::check(cudaStreamEndCapture(own.stream(), &graph), "cudaStreamEndCapture");
  cudaGraphExec_t executable = nullptr;
  cuda::check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
  cuda::check(cudaStreamSynchronize(own.stream()), "cudaStreamSynchronize");
  y.fill_(std::nan(""));
  cuda::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  cuda::check(cudaGraphLaunch(executable, own.stream()), "cudaGraphLaunch");
  cuda::check(cudaStreamSynchronize(own.stream()), "cudaStreamSynchronize");
  expect_close(y, at::matmul(wide(x), wide(w).t()), 3e-3, "replayed graph");
  cuda::check(cudaGraphExecDestroy(executable), "cudaGraphExecDestroy");
  cuda::check(cudaGraphDestroy(graph), "cudaGraphDestroy");
}

TEST(Gemm, RowsThatOverlapAreRefused) {
  Gemm gemm;
  const auto x = random_on_device({8, 8}, at::kFloat);
  try {
    gemm.forward({Element::f32, 8, 8, 8}, {x.data_ptr(), 4}, in(x), nullptr, out(x), false, stream());
    ADD_FAILURE() << "a stride below the number of columns passed";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("overlap"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace lacuna
