// The classifier at the vocabularies of GPT-2 and Qwen2.5, and the optimizer step at two sizes of GPT-2.
#include <ATen/core/Reduction.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_log_softmax.h>
#include <ATen/ops/_log_softmax_backward_data.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/nll_loss_backward.h>
#include <ATen/ops/nll_loss_forward.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAStream.h>

#include <cstdio>

#include "tests/bench/gpu/rows.h"
#include "trainer/kernels/adamw_cuda.h"
#include "trainer/kernels/line_mask.h"
#include "trainer/kernels/softmax_rows_cuda.h"
#include "trainer/kernels/squared_norm_cuda.h"
#include "trainer/kernels/gradient_scale_cuda.h"

namespace lacuna::bench {
namespace {

at::TensorOptions on_device(at::ScalarType type) { return at::TensorOptions().device(at::kCUDA).dtype(type); }
cudaStream_t stream() { return c10::cuda::getCurrentCUDAStream(); }

// The gradient overwrites the logits, and a second run would see near-equal numbers. So each call begins with a copy of fresh
// ones, whose time, measured in turns with it, is taken off.
void classifier(Table& table, int64_t num_rows, int64_t columns, int64_t real) {
  const auto fresh = at::randn({num_rows, columns}, on_device(at::kBFloat16)), logits = at::empty_like(fresh);
  const auto targets = at::randint(real, {num_rows}, on_device(at::kInt)), wide_targets = targets.to(at::kLong);
  const auto weights = at::ones({num_rows}, on_device(at::kFloat)), loss_rows = at::empty({num_rows}, on_device(at::kFloat));
  const auto total = at::zeros({}, on_device(at::kDouble)), one = at::ones({}, on_device(at::kBFloat16));
  const auto parts = at::empty({num_rows, 3}, on_device(at::kFloat));
  const auto* w = weights.const_data_ptr<float>();
  const auto rows = [&](const at::Tensor& z) {
    return cuda::LogitRows{.logits = z.data_ptr(),
                           .element = cuda::Element::bf16,
                           .num_rows = num_rows,
                           .columns = columns,
                           .stride = columns,
                           .real = real,
                           .targets = targets.const_data_ptr<int32_t>()};
  };
  const auto copy = [&] { at::Tensor(logits).copy_(fresh); };
  const auto aten = [&] {
    const auto z = at::_log_softmax(fresh, 1, false);
    const auto [loss, weight] = at::nll_loss_forward(z, wide_targets, {}, at::Reduction::Sum, -100);
    const auto slope = at::nll_loss_backward(one, z, wide_targets, {}, at::Reduction::Sum, -100, weight);
    at::_log_softmax_backward_data(slope, z, 1, at::kBFloat16);
  };
  const double bytes = static_cast<double>(fresh.nbytes());
  const auto print = [&](const char* what, const Call& kernel, double moved, const Call& other) {
    const double copied = time_in_turns(copy, {}).ours;
    const auto times = time_in_turns(
        [&] {
          copy();
          kernel();
        },
        other);
    const double ours = times.ours - copied, rate = moved / ours;
    std::printf("| %s %ld x %ld | %.1f | %.0f GB/s | %.0f %% |", what, static_cast<long>(num_rows), static_cast<long>(columns),
                ours * 1e6, rate * 1e-9, 100 * rate / table.copy_bytes_per_second());
    other ? std::printf(" %.1f | %.2f |\n", times.theirs * 1e6, times.theirs / ours) : std::printf(" | |\n");
    std::fflush(stdout);
  };
  print(
      "loss + gradient", [&] { cuda::softmax_loss(rows(logits), w, loss_rows.data_ptr<float>(), true, {}, stream()); }, 2 * bytes,
      aten);
  print("split vocabulary: parts, gradient",
        [&] {
          cuda::softmax_parts(parts.data_ptr<float>(), rows(logits), stream());
          cuda::softmax_gradient(rows(logits), parts.const_data_ptr<float>(), w, 0, stream());
        },
        3 * bytes, {});
  const std::string size = std::to_string(num_rows) + " x " + std::to_string(columns);
  table.row(
      "loss alone " + size, {.bytes = bytes},
      [&] { cuda::softmax_loss(rows(fresh), w, loss_rows.data_ptr<float>(), false, {}, stream()); },
      [&] {
        const auto z = at::_log_softmax(fresh, 1, false);
        at::nll_loss_forward(z, wide_targets, {}, at::Reduction::Sum, -100);
      });
  table.row(
      "sum of loss rows " + std::to_string(num_rows), {.bytes = 4.0 * static_cast<double>(num_rows)},
      [&] { cuda::add_sum(total.data_ptr<double>(), loss_rows.const_data_ptr<float>(), num_rows, stream()); },
      [&] { loss_rows.sum(at::kDouble); });
}

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

void loss_rows(Table& table) {
  classifier(table, 8192, 50304, 50257);
  classifier(table, 8192, 151936, 151936);
  optimizer(table, "GPT-2 124M", 12, 768);
  optimizer(table, "GPT-2 1558M", 48, 1600);
}

}  // namespace lacuna::bench
