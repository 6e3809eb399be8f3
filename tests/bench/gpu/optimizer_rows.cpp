// The optimizer step at two sizes of GPT-2: norm, clip and AdamW.
#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <c10/cuda/CUDAStream.h>

#include "tests/bench/gpu/rows.h"
#include "trainer/kernels/adamw_cuda.h"
#include "trainer/kernels/gradient_scale_cuda.h"
#include "trainer/kernels/line_mask.h"
#include "trainer/kernels/squared_norm_cuda.h"

namespace lacuna::bench {
namespace {

at::TensorOptions on_device(at::ScalarType type) { return at::TensorOptions().device(at::kCUDA).dtype(type); }
cudaStream_t stream() { return c10::cuda::getCurrentCUDAStream(); }

std::vector<std::vector<int64_t>> shapes_of_gpt2(int64_t num_layers, int64_t d) {
  std::vector<std::vector<int64_t>> shapes{{50304, d}, {1024, d}};
  for (int64_t i = 0; i < num_layers; ++i) {
    for (const auto& shape : std::vector<std::vector<int64_t>>{
             {d}, {d}, {3 * d, d}, {3 * d}, {d, d}, {d}, {d}, {d}, {4 * d, d}, {4 * d}, {d, 4 * d}, {d}}) {
      shapes.push_back(shape);
    }
  }
  shapes.push_back({d});
  shapes.push_back({d});
  return shapes;
}

// Both sides work on the same flat memory, ours whole, ATen's one view a parameter.
struct OptimizerState {
  at::Tensor p, g, m, v, copy, mask;
  std::vector<at::Tensor> ps, gs, ms, vs, copies, steps;
  explicit OptimizerState(const std::vector<std::vector<int64_t>>& shapes) {
    std::vector<int64_t> offsets;
    int64_t size = 0;
    for (const auto& shape : shapes) {
      offsets.push_back(size);
      size += (c10::multiply_integers(shape) + kLineElements - 1) / kLineElements * kLineElements;
    }
    p = at::randn({size}, on_device(at::kFloat));
    g = at::randn({size}, on_device(at::kFloat));
    m = at::randn({size}, on_device(at::kFloat)) * 0.1;
    v = at::randn({size}, on_device(at::kFloat)).square_();
    copy = p.to(at::kBFloat16);
    auto lines = empty_line_mask(size);
    for (size_t i = 0; i < shapes.size(); ++i) {
      const int64_t count = c10::multiply_integers(shapes[i]);
      if (shapes[i].size() > 1) mark_lines(lines, offsets[i], count);
      const auto view = [&](const at::Tensor& flat) { return flat.narrow(0, offsets[i], count).view(shapes[i]); };
      ps.push_back(view(p));
      gs.push_back(view(g));
      ms.push_back(view(m));
      vs.push_back(view(v));
      copies.push_back(view(copy));
      steps.push_back(at::full({}, 10.0, on_device(at::kFloat)));
    }
    mask = at::tensor(std::vector<int64_t>(lines.begin(), lines.end()), at::kLong).to(at::kInt).to(at::kCUDA);
  }
};

void optimizer(Table& table, const std::string& name, int64_t num_layers, int64_t width) {
  const OptimizerState s(shapes_of_gpt2(num_layers, width));
  const auto n = s.p.numel();
  const auto sums = at::empty({2}, on_device(at::kDouble)),
             workspace = at::empty({cuda::kSquaredNormWorkspace}, on_device(at::kDouble));
  const auto numbers = at::ones({3}, on_device(at::kDouble));  // norm, targets, loss
  const auto scalars = at::full({4}, 0.5, on_device(at::kFloat));
  auto* number = numbers.data_ptr<double>();
  auto* scalar = scalars.data_ptr<float>();
  cuda::AdamWUpdate update{.parameters = s.p.data_ptr<float>(),
                           .first = s.m.data_ptr<float>(),
                           .second = s.v.data_ptr<float>(),
                           .gradients = s.g.data_ptr<float>(),
                           .bf16_copy = s.copy.data_ptr(),
                           .count = n,
                           .beta1 = 0.9F,
                           .beta2 = 0.95F,
                           .epsilon = 1e-8F,
                           .weight_decay = 0.1F,
                           .decays = reinterpret_cast<const uint32_t*>(s.mask.const_data_ptr<int32_t>()),
                           .scalars = scalar};
  const auto norm = [&] {
    cuda::squared_norm(sums.data_ptr<double>(), s.g.const_data_ptr<float>(), n, nullptr, 0, workspace.data_ptr<double>(),
                       stream());
  };
  const auto step = [&] {
    norm();
    cuda::gradient_scale(number, scalar + 1, sums.const_data_ptr<double>(), number + 1, number + 2, 1.0, stream());
    cuda::adamw(update, stream());
  };
  const auto rate = at::full({}, 1e-4, on_device(at::kFloat));
  const auto their_norm = [&] { return at::linalg_vector_norm(at::stack(at::_foreach_norm(s.gs, 2)), 2); };
  const auto their_step = [&] {
    const auto clip = (1.0 / (their_norm() + 1e-6)).clamp_max(1.0);
    at::_foreach_mul_(s.gs, clip);
    at::_foreach_add_(s.steps, 1);
    at::_fused_adamw_(s.ps, s.gs, s.ms, s.vs, {}, s.steps, rate, 0.9, 0.95, 0.1, 1e-8, false, false);
    at::_foreach_copy_(s.copies, s.ps);
  };
  const auto elements = static_cast<double>(n);
  table.row("optimizer step " + name + ": norm, scalars, AdamW, bf16 copy", {.bytes = 34 * elements}, step, their_step);
  table.row("norm " + name, {.bytes = 4 * elements}, norm, [&] { their_norm(); });
  table.row(
      "AdamW + bf16 copy " + name, {.bytes = 30 * elements}, [&] { cuda::adamw(update, stream()); },
      [&] {
        at::_fused_adamw_(s.ps, s.gs, s.ms, s.vs, {}, s.steps, rate, 0.9, 0.95, 0.1, 1e-8, false, false);
        at::_foreach_copy_(s.copies, s.ps);
      });
  update.zero_gradients = true;  // last: from here on the gradients are zeros
  table.row("AdamW + bf16 copy + cleared gradients " + name, {.bytes = 34 * elements}, [&] { cuda::adamw(update, stream()); });
}

}  // namespace

void optimizer_rows(Table& table) {
  optimizer(table, "GPT-2 124M", 12, 768);
  optimizer(table, "GPT-2 1558M", 48, 1600);
}

}  // namespace lacuna::bench
