// The matrix products of a linear layer on the device, through cublasLt: bias, GELU and their gradients in the product's epilogue
// where that is faster, weight gradients summed in fp32 into the caller's buffer. Layouts are row-major with a stride in elements
// from row to row, so that slices of packed buffers need no copy.
//
// The first call of a shape makes its plan: the library's best suggestions are timed on the caller's stream (which waits for
// them), on the call's own inputs; an output that is added to is replaced by scratch memory, any other is scribbled over and then
// written as asked. Where a fused epilogue and separate passes do the same work, both are timed. The choice is kept on disk.
// During the capture of a CUDA graph nothing can be timed: a shape that has no plan yet is an error, so run a step before
// capturing one.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

struct GemmInput {
  const void* data = nullptr;
  int64_t stride = 0;
};
struct GemmOutput {
  void* data = nullptr;
  int64_t stride = 0;
};

// x (rows, in), W (out, in), y (rows, out), all of `element`; accumulation and the gradients of weights and biases are fp32.
struct LinearShape {
  Element element = Element::bf16;
  int64_t rows = 0, in = 0, out = 0;
};

enum class Fusion { by_time, always, never };  // always: where the library offers it

struct GemmOptions {
  std::filesystem::path choices_file = {};  // where timings are kept from run to run; empty: nowhere
  // The library's first suggestion without timing, split sums in a fixed order (reduction scheme COMPUTE_TYPE), bias gradients by
  // column_sum: the same bits in every run on one kind of GPU and library.
  bool deterministic = false;
  bool tf32 = false;  // products of fp32 may use TF32
  int num_suggestions = 8;  // 1: the first is taken as it comes
  Fusion fusion = Fusion::by_time;
  int64_t workspace_bytes = int64_t{64} << 20;
};

struct GemmReport {
  int64_t num_plans = 0, num_timed = 0, num_from_file = 0;
  double seconds_spent = 0;  // on timing
  std::string note;          // about the file; empty where all is well
};

// One handle and one workspace: for one stream at a time. Calls from several threads take turns.
class Gemm {
 public:
  explicit Gemm(GemmOptions options = {});
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  // y = x W^T + bias, or y += that. bias (out) of the shape's element, may be null.
  void forward(const LinearShape& shape, GemmInput x, GemmInput w, const void* bias, GemmOutput y, bool accumulate,
               cudaStream_t stream);

  // y = gelu(z) with z = x W^T + bias kept in pre_activation (rows, out). GELU in its tanh form.
  void forward_gelu(const LinearShape& shape, GemmInput x, GemmInput w, const void* bias, GemmOutput y, GemmOutput pre_activation,
                    cudaStream_t stream);

  // dx = dy W, or dx += that.
  void input_gradient(const LinearShape& shape, GemmInput dy, GemmInput w, GemmOutput dx, bool accumulate, cudaStream_t stream);

  // Through the GELU before this layer: dz = (dy W) * gelu'(z), z the pre_activation (rows, in) that forward_gelu kept; and
  // bias_gradient (in, fp32) += the column sums of dz, for the layer that made z, unless it is null.
  void input_gradient_gelu(const LinearShape& shape, GemmInput dy, GemmInput w, GemmInput pre_activation, GemmOutput dz,
                           float* bias_gradient, cudaStream_t stream);

  // dw (out, in, fp32) = dy^T x, or += that with `accumulate`; bias_gradient (out, fp32) += the column sums of dy, unless it is
  // null.
  void weight_gradient(const LinearShape& shape, GemmInput dy, GemmInput x, float* dw, int64_t dw_stride, bool accumulate,
                       float* bias_gradient, cudaStream_t stream);

  GemmReport report() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The process's own, for the layers of a model. configure_gemm comes before the first product, or throws.
void configure_gemm(const GemmOptions& options);
Gemm& process_gemm();

}  // namespace lacuna::cuda
