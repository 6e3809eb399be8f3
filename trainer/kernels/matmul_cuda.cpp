#include "trainer/kernels/matmul_cuda.h"

#include <algorithm>
#include <cstdio>

#include "data/error.h"

namespace lacuna::cuda {
namespace {

constexpr int kMostAlignment = 128;  // what views into flat storage have; more would tell equal problems apart

cudaDataType_t type_of(Element element) { return element == Element::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

int alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  return address == 0 ? 0 : static_cast<int>(std::min<uintptr_t>(address & (~address + 1), kMostAlignment));
}

template <typename T>
void set(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  check(cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
}

}  // namespace

void check(cublasStatus_t status, const std::string& what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const auto code = status == CUBLAS_STATUS_ALLOC_FAILED ? ExitCode::memory : ExitCode::internal;
  throw Error(code, "cublasLt: " + what + " failed with " + cublasLtGetStatusString(status));
}

std::string MatmulProblem::key() const {
  char text[256];
  std::snprintf(text, sizeof text, "%s>%s %c%c m%lld n%lld k%lld ld %lld,%lld,%lld,%lld beta%d epilogue%d align %d,%d,%d,%d,%d%s",
                name_of(input), name_of(output), transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', static_cast<long long>(m),
                static_cast<long long>(n), static_cast<long long>(k), static_cast<long long>(lda), static_cast<long long>(ldb),
                static_cast<long long>(ldd), static_cast<long long>(ld_aux), accumulate ? 1 : 0, static_cast<int>(epilogue),
                alignment[0], alignment[1], alignment[2], alignment[3], alignment[4], tf32 ? " tf32" : "");
  return text;
}

void MatmulProblem::align_to(const MatmulOperands& with) {
  alignment = {alignment_of(with.a), alignment_of(with.b), alignment_of(with.d), alignment_of(with.bias), alignment_of(with.aux)};
}

Matmul::Layout Matmul::make_layout(Element element, int64_t rows, int64_t columns, int64_t stride) {
  cublasLtMatrixLayout_t layout = nullptr;
  check(
      cublasLtMatrixLayoutCreate(&layout, type_of(element), static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), stride),
      "cublasLtMatrixLayoutCreate");
  return Layout(layout);
}

Matmul::Matmul(cublasLtHandle_t handle, const MatmulProblem& problem, const MatmulOperands& sample)
    : handle_(handle), problem_(problem) {
  const auto& p = problem_;
  cublasLtMatmulDesc_t description = nullptr;
  const auto compute = p.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  check(cublasLtMatmulDescCreate(&description, compute, CUDA_R_32F), "cublasLtMatmulDescCreate");
  description_.reset(description);
  const cublasOperation_t operation_a = p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t operation_b = p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
  set(description, CUBLASLT_MATMUL_DESC_TRANSA, operation_a);
  set(description, CUBLASLT_MATMUL_DESC_TRANSB, operation_b);
  set(description, CUBLASLT_MATMUL_DESC_EPILOGUE, p.epilogue);
  if (p.ld_aux > 0) set(description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p.ld_aux);
  point_to(sample);
  a_ = p.transpose_a ? make_layout(p.input, p.k, p.m, p.lda) : make_layout(p.input, p.m, p.k, p.lda);
  b_ = p.transpose_b ? make_layout(p.input, p.n, p.k, p.ldb) : make_layout(p.input, p.k, p.n, p.ldb);
  d_ = make_layout(p.output, p.m, p.n, p.ldd);
}

void Matmul::point_to(const MatmulOperands& operands) {
  if (operands.bias != nullptr) set(description_.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.bias);
  if (operands.aux != nullptr) set(description_.get(), CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, operands.aux);
}

std::vector<cublasLtMatmulAlgo_t> Matmul::suggestions(int most, size_t workspace_bytes, bool deterministic) const {
  cublasLtMatmulPreference_t made = nullptr;
  check(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate");
  const std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, Destroy<cublasLtMatmulPreferenceDestroy>> preference(made);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value), "cublasLtMatmulPreference");
  };
  const bool exact = deterministic || problem_.output == Element::bf16;
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(workspace_bytes));
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
         static_cast<uint32_t>(exact ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE : CUBLASLT_REDUCTION_SCHEME_MASK));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<uint32_t>(problem_.alignment[0]));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<uint32_t>(problem_.alignment[1]));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<uint32_t>(problem_.alignment[2]));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<uint32_t>(problem_.alignment[2]));
  std::vector<cublasLtMatmulHeuristicResult_t> found(static_cast<size_t>(most));
  int num_found = 0;
  const auto status = cublasLtMatmulAlgoGetHeuristic(handle_, description_.get(), a_.get(), b_.get(), d_.get(), d_.get(),
                                                     preference.get(), most, found.data(), &num_found);
  std::vector<cublasLtMatmulAlgo_t> algorithms;
  if (status != CUBLAS_STATUS_SUCCESS) return algorithms;  // not supported, or an epilogue that does not go with the types
  for (int i = 0; i < num_found; ++i) {
    const auto& result = found[static_cast<size_t>(i)];
    if (result.state == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= workspace_bytes) algorithms.push_back(result.algo);
  }
  return algorithms;
}

bool Matmul::accepts(const cublasLtMatmulAlgo_t& algorithm, size_t workspace_bytes) const {
  cublasLtMatmulHeuristicResult_t result{};
  return cublasLtMatmulAlgoCheck(handle_, description_.get(), a_.get(), b_.get(), d_.get(), d_.get(), &algorithm, &result) ==
             CUBLAS_STATUS_SUCCESS &&
         result.workspaceSize <= workspace_bytes;
}

cublasStatus_t Matmul::run(const MatmulOperands& operands, const cublasLtMatmulAlgo_t& algorithm, void* workspace,
                           size_t workspace_bytes, cudaStream_t stream) {
  point_to(operands);
  const float one = 1, beta = problem_.accumulate ? 1 : 0;
  return cublasLtMatmul(handle_, description_.get(), &one, operands.a, a_.get(), operands.b, b_.get(), &beta, operands.d,
                        d_.get(), operands.d, d_.get(), &algorithm, workspace, workspace_bytes, stream);
}

}  // namespace lacuna::cuda
