#include "trainer/kernels/adamw.h"

#include <ATen/Parallel.h>

#include <cmath>

#include "trainer/kernels/wide.h"
#ifdef LACUNA_CUDA
#include <c10/cuda/CUDAStream.h>

#include "trainer/kernels/adamw_cuda.h"
#endif

namespace lacuna {
namespace {

struct Coefficients {
  float beta1, beta2, epsilon, rate, scale, correction1, root_correction2, decay;
};

LACUNA_WIDE void update(float* p, float* g, float* m, float* v, int64_t n, Coefficients c) {
  for (int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] * c.scale;
    g[i] = 0;
    m[i] = c.beta1 * m[i] + (1 - c.beta1) * gradient;
    v[i] = c.beta2 * v[i] + (1 - c.beta2) * gradient * gradient;
    const float denominator = std::sqrt(v[i]) / c.root_correction2 + c.epsilon;
    p[i] -= c.rate * (m[i] / c.correction1 / denominator + c.decay * p[i]);
  }
}

// Few parameters have a least value, so this is no part of the pass.
void raise_to(double minimum, const AdamWBuffers& b) {
  if (std::isinf(minimum)) return;
  b.parameters.clamp_min_(minimum);
  if (b.copy.defined()) b.copy.copy_(b.parameters);
}

}  // namespace

void adamw(const AdamWBuffers& b, const AdamWConstants& constants, double weight_decay, const at::Tensor& scalars) {
#ifdef LACUNA_CUDA
  if (b.parameters.is_cuda()) {
    cuda::adamw({.parameters = b.parameters.data_ptr<float>(),
                 .first = b.first.data_ptr<float>(),
                 .second = b.second.data_ptr<float>(),
                 .gradients = b.gradients.data_ptr<float>(),
                 .bf16_copy = b.copy.defined() ? b.copy.data_ptr() : nullptr,
                 .count = b.parameters.numel(),
                 .zero_gradients = true,
                 .beta1 = static_cast<float>(constants.beta1),
                 .beta2 = static_cast<float>(constants.beta2),
                 .epsilon = static_cast<float>(constants.epsilon),
                 .weight_decay = static_cast<float>(weight_decay),
                 .rate = static_cast<float>(constants.rate),
                 .decays = b.decays.defined() ? reinterpret_cast<const uint32_t*>(b.decays.const_data_ptr<int32_t>()) : nullptr,
                 .begin = b.begin,
                 .scalars = scalars.const_data_ptr<float>()},
                c10::cuda::getCurrentCUDAStream());
    raise_to(constants.minimum, b);
    return;
  }
#endif
  const auto* s = scalars.const_data_ptr<float>();
  auto gradients = b.gradients;
  if (!std::isfinite(s[1])) {
    gradients.zero_();
    return;
  }
  const Coefficients c{.beta1 = static_cast<float>(constants.beta1),
                       .beta2 = static_cast<float>(constants.beta2),
                       .epsilon = static_cast<float>(constants.epsilon),
                       .rate = s[0] * static_cast<float>(constants.rate),
                       .scale = s[1],
                       .correction1 = s[2],
                       .root_correction2 = std::sqrt(s[3]),
                       .decay = static_cast<float>(weight_decay)};
  auto *p = b.parameters.data_ptr<float>(), *m = b.first.data_ptr<float>(), *v = b.second.data_ptr<float>();
  auto* g = gradients.data_ptr<float>();
  at::parallel_for(0, b.parameters.numel(), 1 << 15,
                   [&](int64_t begin, int64_t end) { update(p + begin, g + begin, m + begin, v + begin, end - begin, c); });
  raise_to(constants.minimum, b);
}

}  // namespace lacuna
