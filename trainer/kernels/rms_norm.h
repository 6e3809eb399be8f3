// RMSNorm (Zhang and Sennrich 2019) as a differentiable function, for networks whose slopes are differentiated again:
// y = x / sqrt(mean(x^2) + epsilon) * weight over the last dimension. On the host a composition, which any derivative passes
// through. On a device kernels: y and its gradients are a pass each, and so is the derivative of x's gradient; that of the
// weight's gradient is refused.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

// x (..., n), weight (n).
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon);
// The composition, on any device: the oracle.
at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& weight, double epsilon);

}  // namespace lacuna
