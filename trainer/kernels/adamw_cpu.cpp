#include <ATen/Parallel.h>

#include <cmath>

#include "trainer/kernels/adamw.h"
#include "trainer/kernels/wide.h"

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

}  // namespace

void adamw(at::Tensor parameters, at::Tensor gradients, at::Tensor first, at::Tensor second, const AdamWConstants& constants,
           double weight_decay, const at::Tensor& scalars, const at::Tensor& scale) {
  const auto* s = scalars.const_data_ptr<double>();
  const float by = *scale.const_data_ptr<float>();
  if (!std::isfinite(by)) {
    gradients.zero_();
    return;
  }
  const Coefficients c{.beta1 = static_cast<float>(constants.beta1),
                       .beta2 = static_cast<float>(constants.beta2),
                       .epsilon = static_cast<float>(constants.epsilon),
                       .rate = static_cast<float>(s[0]),
                       .scale = by,
                       .correction1 = static_cast<float>(s[1]),
                       .root_correction2 = std::sqrt(static_cast<float>(s[2])),
                       .decay = static_cast<float>(weight_decay)};
  auto *p = parameters.data_ptr<float>(), *m = first.data_ptr<float>(), *v = second.data_ptr<float>();
  auto* g = gradients.data_ptr<float>();
  at::parallel_for(0, parameters.numel(), 1 << 15,
                   [&](int64_t begin, int64_t end) { update(p + begin, g + begin, m + begin, v + begin, end - begin, c); });
}

}  // namespace lacuna
