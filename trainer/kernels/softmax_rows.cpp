#include "trainer/kernels/softmax_rows.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "trainer/kernels/wide.h"
#ifdef LACUNA_CUDA
#include <c10/cuda/CUDAStream.h>

#include "trainer/kernels/softmax_rows_cuda.h"
#endif

namespace lacuna {
namespace {

#ifdef LACUNA_CUDA
cuda::LogitRows rows_on_device(const at::Tensor& logits, int64_t real, const at::Tensor& targets, int64_t first) {
  return {.logits = logits.data_ptr(),
          .element = logits.scalar_type() == at::kBFloat16 ? cuda::Element::bf16 : cuda::Element::f32,
          .num_rows = logits.size(0),
          .columns = logits.size(1),
          .stride = logits.stride(0),
          .real = real,
          .targets = targets.const_data_ptr<int32_t>(),
          .first = first};
}
#endif

// These loops vectorise, expf included, because this file is compiled with sums that may be reordered (CMakeLists.txt).

constexpr int64_t kGrain = 16;  // rows of one thread's piece

LACUNA_WIDE float largest(const float* z, int64_t n) {
  float m = -INFINITY;
  for (int64_t i = 0; i < n; ++i) m = z[i] > m ? z[i] : m;
  return m;
}

LACUNA_WIDE float sum_of_exponentials(const float* z, int64_t n, float shift) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(z[i] - shift);
  return sum;
}

LACUNA_WIDE void scaled_exponentials(float* z, int64_t n, float shift, float scale) {
  for (int64_t i = 0; i < n; ++i) z[i] = std::exp(z[i] - shift) * scale;
}

}  // namespace

at::Tensor softmax_parts(const at::Tensor& logits, int64_t real, const at::Tensor& targets, int64_t first) {
  const int64_t num_rows = logits.size(0), width = logits.size(1);
  auto parts = at::empty({num_rows, 3}, logits.options().dtype(at::kFloat));
#ifdef LACUNA_CUDA
  if (logits.is_cuda()) {
    cuda::softmax_parts(parts.data_ptr<float>(), rows_on_device(logits, real, targets, first), c10::cuda::getCurrentCUDAStream());
    return parts;
  }
#endif
  const auto* z = logits.const_data_ptr<float>();
  const auto* target = targets.const_data_ptr<int32_t>();
  auto* out = parts.data_ptr<float>();
  at::parallel_for(0, num_rows, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* row = z + i * width;
      const float maximum = largest(row, real);
      const int64_t column = target[i] - first;
      out[i * 3] = maximum;
      out[i * 3 + 1] = real > 0 ? sum_of_exponentials(row, real, maximum) : 0;
      out[i * 3 + 2] = column >= 0 && column < real ? row[column] : 0;
    }
  });
  return parts;
}

at::Tensor combine_softmax_parts(const at::Tensor& parts) {
  const int64_t ranks = parts.size(0), num_rows = parts.size(1);
  auto joined = at::empty({num_rows, 3}, parts.options());
  const auto* in = parts.const_data_ptr<float>();
  auto* out = joined.data_ptr<float>();
#ifdef LACUNA_CUDA
  if (parts.is_cuda()) {
    cuda::combine_softmax_parts(out, in, ranks, num_rows, c10::cuda::getCurrentCUDAStream());
    return joined;
  }
#endif
  for (int64_t i = 0; i < num_rows; ++i) {
    float maximum = -INFINITY, sum = 0, target = 0;
    for (int64_t r = 0; r < ranks; ++r) maximum = std::max(maximum, in[(r * num_rows + i) * 3]);
    for (int64_t r = 0; r < ranks; ++r) {
      const float* part = in + (r * num_rows + i) * 3;
      if (part[1] > 0) sum += part[1] * std::exp(part[0] - maximum);  // a rank that holds only padding has sum 0
      target += part[2];
    }
    out[i * 3] = maximum;
    out[i * 3 + 1] = sum;
    out[i * 3 + 2] = target;
  }
  return joined;
}

void add_weighted_loss(at::Tensor& total, const at::Tensor& parts, const at::Tensor& weights) {
  const auto* part = parts.const_data_ptr<float>();
  const auto* weight = weights.const_data_ptr<float>();
#ifdef LACUNA_CUDA
  if (parts.is_cuda()) {
    const auto stream = c10::cuda::getCurrentCUDAStream();
    const auto rows = at::empty({parts.size(0)}, parts.options());
    cuda::softmax_loss_rows(rows.data_ptr<float>(), part, weight, parts.size(0), stream);
    cuda::add_sum(total.data_ptr<double>(), rows.const_data_ptr<float>(), parts.size(0), stream);
    return;
  }
#endif
  double sum = 0;
  for (int64_t i = 0; i < parts.size(0); ++i, part += 3) {
    if (weight[i] == 0) continue;
    sum += static_cast<double>(weight[i]) * (static_cast<double>(part[0]) + std::log(static_cast<double>(part[1])) - part[2]);
  }
  *total.data_ptr<double>() += sum;
}

void softmax_gradient(at::Tensor& logits, int64_t real, const at::Tensor& targets, int64_t first, const at::Tensor& parts,
                      const at::Tensor& weights, double z_loss) {
#ifdef LACUNA_CUDA
  if (logits.is_cuda()) {
    cuda::softmax_gradient(rows_on_device(logits, real, targets, first), parts.const_data_ptr<float>(),
                           weights.const_data_ptr<float>(), static_cast<float>(z_loss), c10::cuda::getCurrentCUDAStream());
    return;
  }
#endif
  const int64_t width = logits.size(1);
  auto* z = logits.data_ptr<float>();
  const auto* target = targets.const_data_ptr<int32_t>();
  const auto* part = parts.const_data_ptr<float>();
  const auto* weight = weights.const_data_ptr<float>();
  at::parallel_for(0, logits.size(0), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* row = z + i * width;
      if (weight[i] == 0) {
        std::fill(row, row + width, 0.0f);
        continue;
      }
      const float lse = part[i * 3] + std::log(part[i * 3 + 1]), pull = 1 + 2 * static_cast<float>(z_loss) * lse;
      scaled_exponentials(row, real, part[i * 3], weight[i] * pull / part[i * 3 + 1]);
      std::fill(row + real, row + width, 0.0f);
      const int64_t column = target[i] - first;
      if (column >= 0 && column < real) row[column] -= weight[i];
    }
  });
}

void add_softmax_loss(at::Tensor& total, at::Tensor& logits, int64_t real, const at::Tensor& targets, const at::Tensor& weights,
                      bool with_gradient, double z_loss) {
#ifdef LACUNA_CUDA
  if (logits.is_cuda()) {
    const auto stream = c10::cuda::getCurrentCUDAStream();
    const auto losses = at::empty({logits.size(0)}, weights.options());
    cuda::softmax_loss(rows_on_device(logits, real, targets, 0), weights.const_data_ptr<float>(), losses.data_ptr<float>(),
                       with_gradient, {.z_loss = static_cast<float>(z_loss)}, stream);
    cuda::add_sum(total.data_ptr<double>(), losses.const_data_ptr<float>(), logits.size(0), stream);
    return;
  }
#endif
  const auto parts = softmax_parts(logits, real, targets, 0);
  add_weighted_loss(total, parts, weights);
  if (with_gradient) softmax_gradient(logits, real, targets, 0, parts, weights, z_loss);
}

}  // namespace lacuna
