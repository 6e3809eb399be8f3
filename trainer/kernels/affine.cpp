#include "trainer/kernels/affine.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>

#include <optional>
#ifdef LACUNA_CUDA
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAStream.h>

#include "trainer/kernels/gemm_cuda.h"
#include "trainer/kernels/tensor_checks.h"
#endif

namespace lacuna {
namespace {

at::Tensor rows_of(const at::Tensor& t) { return t.reshape({-1, t.size(-1)}); }

#ifdef LACUNA_CUDA
cuda::LinearShape shape_of(const at::Tensor& rows, const at::Tensor& weight) {
  return {.element = weight.scalar_type() == at::kFloat ? cuda::Element::f32 : cuda::Element::bf16,
          .rows = rows.numel() / rows.size(-1),
          .in = weight.size(1),
          .out = weight.size(0)};
}
cuda::GemmInput input(const at::Tensor& t) {
  require(t.is_contiguous(), "affine", "rows must have no gaps");
  return {t.const_data_ptr(), t.size(-1)};
}
cuda::GemmOutput output(const at::Tensor& t) { return {t.data_ptr(), t.size(-1)}; }
at::Tensor new_rows(const at::Tensor& like, int64_t width) {
  auto shape = like.sizes().vec();
  shape.back() = width;
  return at::empty(shape, like.options());
}
const void* data_or_null(const at::Tensor& t) { return t.defined() ? t.const_data_ptr() : nullptr; }
float* sums_or_null(const at::Tensor& t) { return t.defined() ? t.data_ptr<float>() : nullptr; }
cudaStream_t stream() { return c10::cuda::getCurrentCUDAStream(); }
#endif

}  // namespace

at::Tensor affine(const at::Tensor& x, const AffineWeights& w) {
#ifdef LACUNA_CUDA
  if (x.is_cuda()) {
    auto y = new_rows(x, w.weight.size(0));
    cuda::process_gemm().forward(shape_of(x, w.weight), input(x), input(w.weight), data_or_null(w.bias), output(y), false,
                                 stream());
    return y;
  }
#endif
  return at::linear(x, w.weight, w.bias.defined() ? std::optional(w.bias) : std::nullopt);
}

at::Tensor affine_activation(Nonlinearity f, const at::Tensor& x, const AffineWeights& w, at::Tensor& before) {
#ifdef LACUNA_CUDA
  if (x.is_cuda() && f == Nonlinearity::gelu_tanh) {
    auto y = new_rows(x, w.weight.size(0));
    before = new_rows(x, w.weight.size(0));
    cuda::process_gemm().forward_gelu(shape_of(x, w.weight), input(x), input(w.weight), data_or_null(w.bias), output(y),
                                      output(before), stream());
    return y;
  }
#endif
  before = affine(x, w);
  return activation(f, before);
}

at::Tensor affine_input_gradient(const at::Tensor& dy, const AffineWeights& w) {
#ifdef LACUNA_CUDA
  if (dy.is_cuda()) {
    auto dx = new_rows(dy, w.weight.size(1));
    cuda::process_gemm().input_gradient(shape_of(dy, w.weight), input(dy), input(w.weight), output(dx), false, stream());
    return dx;
  }
#endif
  return at::matmul(dy, w.weight);
}

at::Tensor affine_input_gradient_through(Nonlinearity f, const at::Tensor& dy, const AffineWeights& w, const at::Tensor& before,
                                         const at::Tensor& bias_gradient) {
#ifdef LACUNA_CUDA
  if (dy.is_cuda() && f == Nonlinearity::gelu_tanh) {
    auto d = new_rows(dy, w.weight.size(1));
    cuda::process_gemm().input_gradient_gelu(shape_of(dy, w.weight), input(dy), input(w.weight), input(before), output(d),
                                             sums_or_null(bias_gradient), stream());
    return d;
  }
#endif
  auto d = affine_input_gradient(dy, w);
  activation_backward(f, d, before, bias_gradient);
  return d;
}

namespace {

void add_gradients(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight_gradient, const at::Tensor& bias_gradient,
                   bool accumulate) {
#ifdef LACUNA_CUDA
  if (dy.is_cuda()) {
    const cuda::LinearShape shape{.element = dy.scalar_type() == at::kFloat ? cuda::Element::f32 : cuda::Element::bf16,
                                  .rows = dy.numel() / dy.size(-1),
                                  .in = x.size(-1),
                                  .out = dy.size(-1)};
    cuda::process_gemm().weight_gradient(shape, input(dy), input(x), weight_gradient.data_ptr<float>(), x.size(-1), accumulate,
                                         sums_or_null(bias_gradient), stream());
    return;
  }
#endif
  weight_gradient.addmm_(rows_of(dy).t(), rows_of(x), accumulate ? 1 : 0);
  if (bias_gradient.defined()) bias_gradient.add_(rows_of(dy).sum(0, false, at::kFloat));
}

}  // namespace

void add_affine_gradients(const at::Tensor& dy, const at::Tensor& x, const AffineWeights& w, bool with_bias) {
  add_gradients(dy, x, w.weight_gradient, with_bias ? w.bias_gradient : at::Tensor(), true);
}

void weight_gradient(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gradient, bool accumulate) {
  add_gradients(dy, x, gradient, {}, accumulate);
}

}  // namespace lacuna
