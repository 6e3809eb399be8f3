// One cublasLt matrix product, described: D = epilogue(op(A) op(B) + beta D), all matrices column-major as the library sees them.
// Inputs of bf16 are summed in fp32; inputs of fp32 are multiplied in true fp32, or where the problem says so in TF32.
#pragma once
#include <cublasLt.h>

#include <array>
#include <compare>
#include <memory>
#include <string>
#include <vector>

#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

struct MatmulOperands {
  const void* a = nullptr;
  const void* b = nullptr;
  void* d = nullptr;
  void* bias = nullptr;  // read by BIAS epilogues
  void* aux = nullptr;   // written by GELU_AUX, read by DGELU epilogues; of d's shape and type
};

struct MatmulProblem {
  Element input = Element::bf16, output = Element::bf16;
  bool transpose_a = false, transpose_b = false;
  int64_t m = 0, n = 0, k = 0;  // D is (m, n)
  int64_t lda = 0, ldb = 0, ldd = 0, ld_aux = 0;
  bool accumulate = false;  // beta = 1
  bool tf32 = false;        // fp32 inputs may be rounded to 10 bits of fraction
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  std::array<int, 5> alignment{};  // bytes, at most 128: a, b, d, bias, aux

  auto operator<=>(const MatmulProblem&) const = default;
  std::string key() const;                    // all of the above in one line
  void align_to(const MatmulOperands& with);  // fills in `alignment`
};

class Matmul {
 public:
  // `sample` gives the alignment of pointers that the descriptor itself holds.
  Matmul(cublasLtHandle_t handle, const MatmulProblem& problem, const MatmulOperands& sample);

  // The library's suggestions, best first by its own estimate; empty where it has none for this problem.
  // Split sums are kept in fp32 and added in a fixed order (reduction scheme COMPUTE_TYPE) where D is bf16 or `deterministic` is
  // set; an fp32 D may also be reduced in place.
  std::vector<cublasLtMatmulAlgo_t> suggestions(int most, size_t workspace_bytes, bool deterministic) const;
  bool accepts(const cublasLtMatmulAlgo_t& algorithm, size_t workspace_bytes) const;

  cublasStatus_t run(const MatmulOperands& operands, const cublasLtMatmulAlgo_t& algorithm, void* workspace,
                     size_t workspace_bytes, cudaStream_t stream);

 private:
  template <auto kDestroy>
  struct Destroy {
    template <typename T>
    void operator()(T* object) const {
      kDestroy(object);
    }
  };
  using Description = std::unique_ptr<cublasLtMatmulDescOpaque_t, Destroy<cublasLtMatmulDescDestroy>>;
  using Layout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t, Destroy<cublasLtMatrixLayoutDestroy>>;
  static Layout make_layout(Element element, int64_t rows, int64_t columns, int64_t stride);
  void point_to(const MatmulOperands& operands);

  cublasLtHandle_t handle_;
  MatmulProblem problem_;
  Description description_;
  Layout a_, b_, d_;
};

void check(cublasStatus_t status, const std::string& what);

}  // namespace lacuna::cuda
