// The numbers of an optimizer step, and the whole step replayed from a CUDA graph.
#include <ATen/cuda/CUDAGraph.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/device_compare.h"
#include "trainer/kernels/adamw_cuda.h"
#include "trainer/kernels/squared_norm_cuda.h"
#include "trainer/kernels/step_scalars_cuda.h"

namespace lacuna {
namespace {

using cuda::StepConstants;
using cuda::StepInputs;
using cuda::StepScalars;

at::TensorOptions on_device(at::ScalarType type) { return at::TensorOptions().device(at::kCUDA).dtype(type); }

// The device's memory of a step, as tensors.
struct Memory {
  at::Tensor inputs = at::full({3}, NAN, on_device(at::kDouble)), scalars = at::full({6}, 123, on_device(at::kFloat));
  StepInputs* in() const { return reinterpret_cast<StepInputs*>(inputs.data_ptr<double>()); }
  StepScalars* out() const { return reinterpret_cast<StepScalars*>(scalars.data_ptr<float>()); }
  StepScalars read() const {
    const auto host = scalars.to(at::kCPU);
    return *reinterpret_cast<const StepScalars*>(host.const_data_ptr<float>());
  }
};
static_assert(sizeof(StepInputs) == 3 * sizeof(double) && sizeof(StepScalars) == 6 * sizeof(float));

StepScalars scalars_of(const StepInputs& inputs, const std::vector<double>& squares, const StepConstants& constants) {
  const Memory memory;
  const auto stream = c10::cuda::getCurrentCUDAStream();
  const auto sums = at::tensor(squares, at::kDouble).to(at::kCUDA);
  cuda::set_step_inputs(memory.in(), inputs, stream);
  cuda::step_scalars(memory.out(), memory.in(), sums.const_data_ptr<double>(), static_cast<int>(squares.size()), constants,
                     stream);
  return memory.read();
}

TEST(StepScalarsOnDevice, AreThoseOfTheHost) {
  for (const double step : {1.0, 2.0, 10.0, 1000.0, 1e6}) {
    const auto s = scalars_of({step, 3e-4, 4096}, {100, 44}, {0.9, 0.999, 0});
    EXPECT_FLOAT_EQ(s.learning_rate, 3e-4F);
    EXPECT_FLOAT_EQ(s.correction1, static_cast<float>(1 - std::pow(0.9, step))) << step;
    EXPECT_FLOAT_EQ(s.correction2, static_cast<float>(1 - std::pow(0.999, step))) << step;
    EXPECT_FLOAT_EQ(s.gradient_norm, 12.0F / 4096);
    EXPECT_FLOAT_EQ(s.gradient_scale, 1.0F / 4096);
    EXPECT_EQ(s.skip, 0);
  }
}

TEST(StepScalarsOnDevice, ClipsTheMeansGradient) {
  EXPECT_FLOAT_EQ(scalars_of({1, 1, 10}, {400}, {0.9, 0.95, 1.0}).gradient_scale, 0.05F);  // norm 2, to 1
  EXPECT_FLOAT_EQ(scalars_of({1, 1, 10}, {400}, {0.9, 0.95, 3.0}).gradient_scale, 0.1F);
  EXPECT_FLOAT_EQ(scalars_of({1, 1, 10}, {0, 0}, {0.9, 0.95, 1.0}).gradient_scale, 0.1F);
}

TEST(StepScalarsOnDevice, SkipsWhatCannotBeUsed) {
  for (const double squares : {std::nan(""), HUGE_VAL}) {
    const auto s = scalars_of({1, 1, 10}, {1, squares}, {0.9, 0.95, 1.0});
    EXPECT_EQ(s.skip, 1);
    EXPECT_EQ(s.gradient_scale, 0);
    EXPECT_FALSE(std::isfinite(s.gradient_norm));
  }
  for (const double targets : {0.0, -1.0, std::nan("")})
    EXPECT_EQ(scalars_of({1, 1, targets}, {1}, {0.9, 0.95, 1.0}).skip, 1) << targets;
}

// Captured once, replayed with other inputs and other gradients, one of them not finite; beside it the step in double precision.
TEST(StepScalarsOnDevice, AWholeStepReplaysFromAGraph) {
  const int64_t n = 100'000;
  const double beta1 = 0.9, beta2 = 0.95, max_norm = 1.0, epsilon = 1e-8, decay = 0.1;
  const auto p = at::randn({n}, on_device(at::kFloat)), m = at::zeros_like(p), v = at::zeros_like(p), g = at::zeros_like(p);
  const auto copy = at::empty({n}, on_device(at::kBFloat16));
  const auto sums = at::empty({2}, on_device(at::kDouble));
  const auto workspace = at::empty({cuda::kSquaredNormWorkspace}, on_device(at::kDouble));
  const Memory memory;
  auto reference = p.to(at::kDouble), rm = at::zeros_like(reference), rv = at::zeros_like(reference);

  const auto stream = c10::cuda::getStreamFromPool();
  const c10::cuda::CUDAStreamGuard guard(stream);
  c10::cuda::device_synchronize();  // the tensors were made on another stream
  at::cuda::CUDAGraph graph;
  graph.capture_begin();
  cuda::squared_norm(sums.data_ptr<double>(), g.const_data_ptr<float>(), n, nullptr, 0, workspace.data_ptr<double>(), stream);
  cuda::step_scalars(memory.out(), memory.in(), sums.const_data_ptr<double>(), 2, {beta1, beta2, max_norm}, stream);
  cuda::adamw({.parameters = p.data_ptr<float>(),
               .first = m.data_ptr<float>(),
               .second = v.data_ptr<float>(),
               .gradients = g.data_ptr<float>(),
               .bf16_copy = copy.data_ptr(),
               .count = n,
               .zero_gradients = true,
               .beta1 = static_cast<float>(beta1),
               .beta2 = static_cast<float>(beta2),
               .epsilon = static_cast<float>(epsilon),
               .weight_decay = static_cast<float>(decay),
               .scalars = &memory.out()->learning_rate,
               .skip = &memory.out()->skip},
              stream);
  graph.capture_end();

  int updates = 0;
  for (int step = 1; step <= 5; ++step) {
    const double rate = 0.01 * step, targets = 100.0 * step;
    auto gradient = at::randn({n}, on_device(at::kFloat)) * (step == 4 ? 1e-3 : 5.0);
    if (step == 3) gradient[n / 2].fill_(HUGE_VAL);
    g.copy_(gradient);
    cuda::set_step_inputs(memory.in(), {static_cast<double>(step), rate, targets}, stream);
    graph.replay();
    const auto s = memory.read();
    EXPECT_EQ(s.skip, step == 3 ? 1 : 0) << step;
    EXPECT_TRUE(g.eq(0).all().item<bool>()) << step;
    if (step != 3) {
      ++updates;
      const auto mean = gradient.to(at::kDouble) / targets;
      const double norm = mean.norm().item<double>();
      EXPECT_NEAR(s.gradient_norm, norm, 1e-5 * norm) << step;
      const auto clipped = mean * (norm > max_norm ? max_norm / norm : 1.0);
      rm = beta1 * rm + (1 - beta1) * clipped;
      rv = beta2 * rv + (1 - beta2) * clipped * clipped;
      const double c1 = 1 - std::pow(beta1, step), c2 = 1 - std::pow(beta2, step);
      reference = reference - rate * ((rm / c1) / ((rv / c2).sqrt() + epsilon) + decay * reference);
    }
    testing::expect_close("parameters after step " + std::to_string(step), p, reference, 1e-5, 1e-5);
    EXPECT_TRUE(copy.equal(p.to(at::kBFloat16)) || step == 3) << step;
  }
  EXPECT_EQ(updates, 4);
}

}  // namespace
}  // namespace lacuna
