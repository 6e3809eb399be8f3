#include "trainer/kernels/gemm_cuda.h"

#include <cinttypes>
#include <cstdio>
#include <mutex>
#include <optional>

#include "data/error.h"
#include "trainer/kernels/activations_cuda.h"
#include "trainer/kernels/column_sum_cuda.h"
#include "trainer/kernels/gemm_planner_cuda.h"

namespace lacuna::cuda {
namespace {

// A row-major matrix is the library's transposed column-major one, so each product is written transposed: y^T = W x^T.

MatmulProblem forward_problem(const LinearShape& s, GemmInput x, GemmInput w, GemmOutput y, bool accumulate) {
  MatmulProblem problem{.input = s.element, .output = s.element, .transpose_a = true, .transpose_b = false};
  problem.m = s.out, problem.n = s.rows, problem.k = s.in;
  problem.lda = w.stride, problem.ldb = x.stride, problem.ldd = y.stride;
  problem.accumulate = accumulate;
  return problem;
}

// dx^T = W^T dy^T
MatmulProblem input_gradient_problem(const LinearShape& s, GemmInput dy, GemmInput w, GemmOutput dx, bool accumulate) {
  MatmulProblem problem{.input = s.element, .output = s.element, .transpose_a = false, .transpose_b = false};
  problem.m = s.in, problem.n = s.rows, problem.k = s.out;
  problem.lda = w.stride, problem.ldb = dy.stride, problem.ldd = dx.stride;
  problem.accumulate = accumulate;
  return problem;
}

// dW^T = x^T dy
MatmulProblem weight_gradient_problem(const LinearShape& s, GemmInput dy, GemmInput x, int64_t dw_stride, bool accumulate) {
  MatmulProblem problem{.input = s.element, .output = Element::f32, .transpose_a = false, .transpose_b = true};
  problem.m = s.in, problem.n = s.out, problem.k = s.rows;
  problem.lda = x.stride, problem.ldb = dy.stride, problem.ldd = dw_stride;
  problem.accumulate = accumulate;
  return problem;
}

MatmulProblem with(MatmulProblem problem, cublasLtEpilogue_t epilogue, int64_t ld_aux, const MatmulOperands& operands) {
  problem.epilogue = epilogue;
  problem.ld_aux = ld_aux;
  problem.align_to(operands);
  return problem;
}

std::string pass_key(const char* name, Element element, int64_t rows, int64_t columns, int64_t stride, int64_t other_stride) {
  char text[160];
  std::snprintf(text, sizeof text, "%s %s %" PRId64 "x%" PRId64 " stride %" PRId64 ",%" PRId64, name, name_of(element), rows,
                columns, stride, other_stride);
  return text;
}

// Workspace for the partial sums of a column_sum, and behind them for the sums that an epilogue writes or a timed pass adds to.
struct SumSpace {
  SumSpace(GemmPlanner& planner, int64_t rows, int64_t columns) {
    const int64_t partial_bytes = (column_sum_workspace(rows, columns) + 255) / 256 * 256;
    partial = static_cast<float*>(planner.pass_workspace(partial_bytes + columns * static_cast<int64_t>(sizeof(float))));
    sums = partial + partial_bytes / static_cast<int64_t>(sizeof(float));
  }
  float* partial = nullptr;
  float* sums = nullptr;
};

bool empty(const LinearShape& s) { return s.rows == 0 || s.in == 0 || s.out == 0; }

void check_stride(const char* what, int64_t stride, int64_t columns) {
  if (stride < columns) {
    throw Error(ExitCode::internal, std::string("matrix product: ") + what + " has rows " + std::to_string(stride) +
                                        " elements apart, which overlap: it has " + std::to_string(columns) + " columns");
  }
}

}  // namespace

struct Gemm::State {
  explicit State(const GemmOptions& options) : planner(options) {}
  std::mutex mutex;  // forward and backward may come from different threads
  GemmPlanner planner;
};

Gemm::Gemm(GemmOptions options) : state_(std::make_unique<State>(options)) {}
Gemm::~Gemm() = default;

void Gemm::forward(const LinearShape& s, GemmInput x, GemmInput w, const void* bias, GemmOutput y, bool accumulate,
                   cudaStream_t stream) {
  if (empty(s)) return;
  check_stride("x", x.stride, s.in), check_stride("w", w.stride, s.in), check_stride("y", y.stride, s.out);
  const std::lock_guard lock(state_->mutex);
  const MatmulOperands operands{w.data, x.data, y.data, const_cast<void*>(bias), nullptr};
  const auto epilogue = bias == nullptr ? CUBLASLT_EPILOGUE_DEFAULT : CUBLASLT_EPILOGUE_BIAS;
  state_->planner.run(with(forward_problem(s, x, w, y, accumulate), epilogue, 0, operands), operands, stream);
}

void Gemm::forward_gelu(const LinearShape& s, GemmInput x, GemmInput w, const void* bias, GemmOutput y, GemmOutput pre_activation,
                        cudaStream_t stream) {
  if (empty(s)) return;
  check_stride("x", x.stride, s.in), check_stride("w", w.stride, s.in), check_stride("y", y.stride, s.out);
  check_stride("pre_activation", pre_activation.stride, s.out);
  const std::lock_guard lock(state_->mutex);
  auto& planner = state_->planner;
  auto* const read_bias = const_cast<void*>(bias);
  const MatmulOperands fused_operands{w.data, x.data, y.data, read_bias, pre_activation.data};
  const MatmulOperands plain_operands{w.data, x.data, pre_activation.data, read_bias, nullptr};
  const auto fused =
      with(forward_problem(s, x, w, y, false), bias == nullptr ? CUBLASLT_EPILOGUE_GELU_AUX : CUBLASLT_EPILOGUE_GELU_AUX_BIAS,
           pre_activation.stride, fused_operands);
  const auto plain = with(forward_problem(s, x, w, pre_activation, false),
                          bias == nullptr ? CUBLASLT_EPILOGUE_DEFAULT : CUBLASLT_EPILOGUE_BIAS, 0, plain_operands);
  const auto pass = [&] {
    activation(Nonlinearity::gelu_tanh, s.element, s.rows, s.out, pre_activation.data, pre_activation.stride, y.data, y.stride, stream);
  };
  const auto routes = [&] {
    const auto name = pass_key("gelu", s.element, s.rows, s.out, pre_activation.stride, y.stride);
    return std::vector<GemmRoute>{{fused, fused_operands, "", {}}, {plain, plain_operands, name, pass}};
  };
  if (planner.choose(fused, routes, stream) == 0) return planner.run(fused, fused_operands, stream);
  planner.run(plain, plain_operands, stream);
  pass();
}

void Gemm::input_gradient(const LinearShape& s, GemmInput dy, GemmInput w, GemmOutput dx, bool accumulate, cudaStream_t stream) {
  if (empty(s)) return;
  check_stride("dy", dy.stride, s.out), check_stride("w", w.stride, s.in), check_stride("dx", dx.stride, s.in);
  const std::lock_guard lock(state_->mutex);
  const MatmulOperands operands{w.data, dy.data, dx.data, nullptr, nullptr};
  state_->planner.run(with(input_gradient_problem(s, dy, w, dx, accumulate), CUBLASLT_EPILOGUE_DEFAULT, 0, operands), operands,
                      stream);
}

void Gemm::input_gradient_gelu(const LinearShape& s, GemmInput dy, GemmInput w, GemmInput pre_activation, GemmOutput dz,
                               float* bias_gradient, cudaStream_t stream) {
  if (empty(s)) return;
  check_stride("dy", dy.stride, s.out), check_stride("w", w.stride, s.in), check_stride("dz", dz.stride, s.in);
  check_stride("pre_activation", pre_activation.stride, s.in);
  const std::lock_guard lock(state_->mutex);
  auto& planner = state_->planner;
  const SumSpace space(planner, s.rows, s.in);
  const MatmulOperands plain_operands{w.data, dy.data, dz.data, nullptr, nullptr};
  const MatmulOperands gelu_operands{w.data, dy.data, dz.data, nullptr, const_cast<void*>(pre_activation.data)};
  const auto product = input_gradient_problem(s, dy, w, dz, false);
  const auto plain = with(product, CUBLASLT_EPILOGUE_DEFAULT, 0, plain_operands);
  const auto with_gelu = with(product, CUBLASLT_EPILOGUE_DGELU, pre_activation.stride, gelu_operands);
  const auto sum_pass = [&](float* out) {
    if (out != nullptr) column_sum(s.element, s.rows, s.in, dz.data, dz.stride, out, space.partial, stream);
  };
  const auto gelu_pass = [&](float* out) {
    activation_backward(Nonlinearity::gelu_tanh, s.element, s.rows, s.in, pre_activation.data, pre_activation.stride, dz.data,
                        dz.stride, out, space.partial, stream);
  };
  const auto routes = [&] {
    float* const sums = bias_gradient == nullptr ? nullptr : space.sums;
    const auto key = [&](const char* name, const char* name_with_sums) {
      return pass_key(sums == nullptr ? name : name_with_sums, s.element, s.rows, s.in, dz.stride, pre_activation.stride);
    };
    return std::vector<GemmRoute>{
        {with_gelu, gelu_operands, sums == nullptr ? "" : key("", "column_sum"), [&, sums] { sum_pass(sums); }},
        {plain, plain_operands, key("gelu_backward", "gelu_backward_and_sum"), [&, sums] { gelu_pass(sums); }}};
  };
  if (planner.choose(with_gelu, routes, stream) == 0) {
    planner.run(with_gelu, gelu_operands, stream);
    return sum_pass(bias_gradient);
  }
  planner.run(plain, plain_operands, stream);
  gelu_pass(bias_gradient);
}

void Gemm::weight_gradient(const LinearShape& s, GemmInput dy, GemmInput x, float* dw, int64_t dw_stride, bool accumulate,
                           float* bias_gradient, cudaStream_t stream) {
  if (empty(s)) return;
  check_stride("dy", dy.stride, s.out), check_stride("x", x.stride, s.in), check_stride("dw", dw_stride, s.in);
  const std::lock_guard lock(state_->mutex);
  auto& planner = state_->planner;
  const MatmulOperands operands{x.data, dy.data, dw, nullptr, nullptr};
  planner.run(with(weight_gradient_problem(s, dy, x, dw_stride, accumulate), CUBLASLT_EPILOGUE_DEFAULT, 0, operands), operands,
              stream);
  if (bias_gradient == nullptr) return;
  column_sum(s.element, s.rows, s.out, dy.data, dy.stride, bias_gradient, SumSpace(planner, s.rows, s.out).partial, stream);
}

GemmReport Gemm::report() const {
  const std::lock_guard lock(state_->mutex);
  return state_->planner.report();
}

namespace {

struct ProcessGemm {
  std::mutex mutex;
  GemmOptions options;
  std::optional<Gemm> gemm;
};
// Never destroyed: at the program's end the library may be gone before it.
ProcessGemm& process() {
  static auto* const made = new ProcessGemm;
  return *made;
}

}  // namespace

void configure_gemm(const GemmOptions& options) {
  auto& own = process();
  const std::lock_guard lock(own.mutex);
  if (own.gemm)
    throw Error(ExitCode::internal, "configure_gemm came after the first matrix product: call it before the model runs");
  own.options = options;
}

Gemm& process_gemm() {
  auto& own = process();
  const std::lock_guard lock(own.mutex);
  if (!own.gemm) own.gemm.emplace(own.options);
  return *own.gemm;
}

}  // namespace lacuna::cuda
