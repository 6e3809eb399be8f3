// The classifier at the vocabularies of GPT-2 and Qwen2.5.
#include <ATen/core/Reduction.h>
#include <ATen/ops/_log_softmax.h>
#include <ATen/ops/_log_softmax_backward_data.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/nll_loss_backward.h>
#include <ATen/ops/nll_loss_forward.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAStream.h>

#include <cstdio>

#include "tests/bench/gpu/rows.h"
#include "trainer/kernels/softmax_rows_cuda.h"

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

}  // namespace

void loss_rows(Table& table) {
  classifier(table, 8192, 50304, 50257);
  classifier(table, 8192, 151936, 151936);
}

}  // namespace lacuna::bench
