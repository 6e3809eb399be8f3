// How good the algorithms are that the planner takes: every product of a GPT-2 124M step with the library's first suggestion, the
// best of the first eight, the best of all suggestions, and the best of all settings that the suggested algorithms accept.
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "tests/bench/gpu/rows.h"
#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/matmul_cuda.h"

namespace lacuna::bench {
namespace {

using cuda::check;
using cuda::Element;
using cuda::Matmul;
using cuda::MatmulOperands;
using cuda::MatmulProblem;

constexpr size_t kWorkspace = size_t{256} << 20, kUsualWorkspace = size_t{64} << 20;
constexpr int kMostSettings = 400, kFinalists = 8, kRounds = 9;

cudaStream_t stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

double seconds(const Call& call, int num_calls) {
  cudaEvent_t begin = nullptr, end = nullptr;
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  check(cudaEventRecord(begin, stream()), "cudaEventRecord");
  for (int i = 0; i < num_calls; ++i) call();
  check(cudaEventRecord(end, stream()), "cudaEventRecord");
  check(cudaEventSynchronize(end), "the timed work");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return milliseconds * 1e-3 / num_calls;
}

template <class T>
T setting(const cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute) {
  T value{};
  size_t written = 0;
  cublasLtMatmulAlgoConfigGetAttribute(&algorithm, attribute, &value, sizeof value, &written);
  return value;
}
template <class T>
void set(cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute, T value) {
  cublasLtMatmulAlgoConfigSetAttribute(&algorithm, attribute, &value, sizeof value);
}
template <class T>
T capability(const cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoCapAttributes_t attribute) {
  T value{};
  size_t written = 0;
  cublasLtMatmulAlgoCapGetAttribute(&algorithm, attribute, &value, sizeof value, &written);
  return value;
}
std::vector<uint32_t> list(const cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoCapAttributes_t attribute) {
  size_t bytes = 0;
  cublasLtMatmulAlgoCapGetAttribute(&algorithm, attribute, nullptr, 0, &bytes);
  std::vector<uint32_t> values(bytes / sizeof(uint32_t));
  if (bytes > 0) cublasLtMatmulAlgoCapGetAttribute(&algorithm, attribute, values.data(), bytes, &bytes);
  return values.empty() ? std::vector<uint32_t>{0} : values;
}

std::string described(const cublasLtMatmulAlgo_t& a) {
  char text[160];
  std::snprintf(text, sizeof text, "id %d tile %u stages %u cluster %u inner %u split %d/%u swizzle %u custom %u",
                setting<int32_t>(a, CUBLASLT_ALGO_CONFIG_ID), setting<uint32_t>(a, CUBLASLT_ALGO_CONFIG_TILE_ID),
                setting<uint32_t>(a, CUBLASLT_ALGO_CONFIG_STAGES_ID), setting<uint16_t>(a, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID),
                setting<uint16_t>(a, CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID), setting<int32_t>(a, CUBLASLT_ALGO_CONFIG_SPLITK_NUM),
                setting<uint32_t>(a, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME),
                setting<uint32_t>(a, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING),
                setting<uint32_t>(a, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION));
  return text;
}

cudaDataType_t type_of(Element element) { return element == Element::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

// All settings of the algorithms `ids` that `matmul` accepts, every n-th of them where they are more than kMostSettings.
std::vector<cublasLtMatmulAlgo_t> settings(cublasLtHandle_t handle, const MatmulProblem& p, const Matmul& matmul,
                                           const std::set<int>& ids) {
  std::vector<cublasLtMatmulAlgo_t> all;
  const std::vector<uint16_t> clusters{CUBLASLT_CLUSTER_SHAPE_1x1x1, CUBLASLT_CLUSTER_SHAPE_2x1x1, CUBLASLT_CLUSTER_SHAPE_1x2x1,
                                       CUBLASLT_CLUSTER_SHAPE_4x1x1, CUBLASLT_CLUSTER_SHAPE_1x4x1, CUBLASLT_CLUSTER_SHAPE_2x2x1};
  for (const int id : ids) {
    cublasLtMatmulAlgo_t base{};
    const auto in = type_of(p.input), out = type_of(p.output);
    if (cublasLtMatmulAlgoInit(handle, CUBLAS_COMPUTE_32F, CUDA_R_32F, in, in, out, out, id, &base) != CUBLAS_STATUS_SUCCESS)
      continue;
    const bool splits = capability<int32_t>(base, CUBLASLT_ALGO_CAP_SPLITK_SUPPORT) != 0 && p.k > 8192;
    const auto swizzles = capability<uint32_t>(base, CUBLASLT_ALGO_CAP_CTA_SWIZZLING_SUPPORT);
    const auto customs = std::min(capability<int32_t>(base, CUBLASLT_ALGO_CAP_CUSTOM_OPTION_MAX), 7);
    for (const auto tile : list(base, CUBLASLT_ALGO_CAP_TILE_IDS))
      for (const auto stages : list(base, CUBLASLT_ALGO_CAP_STAGES_IDS))
        for (const auto cluster : clusters)
          for (uint32_t swizzle = 0; swizzle <= swizzles; ++swizzle)
            for (int custom = 0; custom <= customs; ++custom)
              for (const int split : {1, 2, 3, 4, 5, 6, 7, 8, 11, 14, 22}) {
                if (split > 1 && !splits) break;
                auto a = base;
                set<uint32_t>(a, CUBLASLT_ALGO_CONFIG_TILE_ID, tile);
                set<uint32_t>(a, CUBLASLT_ALGO_CONFIG_STAGES_ID, stages);
                set<uint16_t>(a, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, cluster);
                set<uint32_t>(a, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, swizzle);
                set<uint32_t>(a, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, static_cast<uint32_t>(custom));
                set<int32_t>(a, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, split);
                if (split > 1) set<uint32_t>(a, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
                if (matmul.accepts(a, kWorkspace)) all.push_back(a);
              }
  }
  if (all.size() <= kMostSettings) return all;
  std::vector<cublasLtMatmulAlgo_t> some;
  for (size_t i = 0; i < kMostSettings; ++i) some.push_back(all[i * all.size() / kMostSettings]);
  return some;
}

struct Tried {
  cublasLtMatmulAlgo_t algorithm;
  double quick = 0;
  std::vector<double> times;
  double median() const {
    auto sorted = times;
    std::nth_element(sorted.begin(), sorted.begin() + sorted.size() / 2, sorted.end());
    return sorted[sorted.size() / 2];
  }
};

class Search {
 public:
  Search() : workspace_(at::empty({static_cast<int64_t>(kWorkspace)}, at::TensorOptions().device(at::kCUDA).dtype(at::kByte))) {
    check(cublasLtCreate(&handle_), "cublasLtCreate");
  }
  ~Search() { cublasLtDestroy(handle_); }

  void row(const char* name, MatmulProblem problem, const MatmulOperands& operands) {
    problem.align_to(operands);
    Matmul matmul(handle_, problem, operands);
    const auto run = [&](const cublasLtMatmulAlgo_t& a) {
      return matmul.run(operands, a, workspace_.data_ptr(), kWorkspace, stream());
    };
    const auto try_all = [&](const std::vector<cublasLtMatmulAlgo_t>& algorithms) {
      std::vector<Tried> tried;
      for (const auto& a : algorithms) {
        if (run(a) != CUBLAS_STATUS_SUCCESS) continue;
        tried.push_back({.algorithm = a, .quick = seconds([&] { run(a); }, 2), .times = {}});
      }
      return tried;
    };
    const auto usual = matmul.suggestions(8, kUsualWorkspace, false);
    if (usual.empty()) {
      std::printf("| %s | not offered |\n", name);
      return;
    }
    const auto suggested = matmul.suggestions(512, kWorkspace, false);
    std::set<int> ids;
    for (const auto& a : suggested) ids.insert(setting<int32_t>(a, CUBLASLT_ALGO_CONFIG_ID));
    auto first = try_all({usual.front()}), eight = try_all(usual), many = try_all(suggested),
         every = try_all(settings(handle_, problem, matmul, ids));
    std::vector<std::vector<Tried>*> lists{&first, &eight, &many, &every};
    for (auto* tried : lists) {
      std::sort(tried->begin(), tried->end(), [](const Tried& a, const Tried& b) { return a.quick < b.quick; });
      tried->resize(std::min<size_t>(tried->size(), kFinalists));
    }
    for (int round = 0; round < kRounds; ++round) {
      for (auto* tried : lists) {
        for (auto& t : *tried) t.times.push_back(seconds([&] { run(t.algorithm); }, 2));
      }
    }
    const double flops = 2.0 * static_cast<double>(problem.m) * static_cast<double>(problem.n) * static_cast<double>(problem.k);
    std::printf("| %s %ld,%ld,%ld |", name, static_cast<long>(problem.m), static_cast<long>(problem.n),
                static_cast<long>(problem.k));
    std::string text;
    for (auto* tried : lists) {
      const auto best =
          std::min_element(tried->begin(), tried->end(), [](const Tried& a, const Tried& b) { return a.median() < b.median(); });
      if (best == tried->end()) continue;
      std::printf(" %.1f (%.0f) |", best->median() * 1e6, flops / best->median() * 1e-12);
      text = described(best->algorithm);
      if (tried == &eight) std::printf(" [%s] |", text.c_str());
    }
    std::printf(" %zu | %s |\n", suggested.size(), text.c_str());
    std::fflush(stdout);
  }

 private:
  cublasLtHandle_t handle_ = nullptr;
  at::Tensor workspace_;
};

at::Tensor random(int64_t rows, int64_t columns, at::ScalarType type = at::kBFloat16) {
  return at::randn({rows, columns}, at::TensorOptions().device(at::kCUDA).dtype(type));
}

// y = x W^T, dx = dy W and dW += dy^T x of one layer, as gemm_cuda.cpp writes them; epilogues as the layer's place asks.
void layer(Search& search, const std::string& name, int64_t rows, int64_t in, int64_t out, cublasLtEpilogue_t forward,
           cublasLtEpilogue_t backward) {
  const auto x = random(rows, in), w = random(out, in), y = random(rows, out), dx = random(rows, in),
             aux = random(rows, std::max(in, out)), dw = random(out, in, at::kFloat), bias = random(1, std::max(in, out));
  const auto row = [&](const char* what, MatmulProblem problem, cublasLtEpilogue_t epilogue, MatmulOperands operands) {
    problem.epilogue = epilogue;
    if (epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS) operands.bias = bias.data_ptr();
    if (epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS || epilogue == CUBLASLT_EPILOGUE_DGELU) {
      operands.aux = aux.data_ptr();
      problem.ld_aux = problem.m;
    }
    search.row((name + what).c_str(), problem, operands);
  };
  row(" forward", {.transpose_a = true, .m = out, .n = rows, .k = in, .lda = in, .ldb = in, .ldd = out}, forward,
      {.a = w.data_ptr(), .b = x.data_ptr(), .d = y.data_ptr()});
  row(" input gradient", {.m = in, .n = rows, .k = out, .lda = in, .ldb = out, .ldd = in}, backward,
      {.a = w.data_ptr(), .b = y.data_ptr(), .d = dx.data_ptr()});
  row(" weight gradient",
      {.output = Element::f32,
       .transpose_b = true,
       .m = in,
       .n = out,
       .k = rows,
       .lda = in,
       .ldb = out,
       .ldd = in,
       .accumulate = true},
      CUBLASLT_EPILOGUE_DEFAULT, {.a = x.data_ptr(), .b = y.data_ptr(), .d = dw.data_ptr()});
}

}  // namespace

void search_rows(Table&) {
  std::printf(
      "| product m,n,k | first: us (TFLOP/s) | best of 8 | its settings | best of all suggestions | best of all settings | "
      "suggestions | settings |\n|---|---|---|---|---|---|---|---|\n");
  Search search;
  constexpr auto kPlain = CUBLASLT_EPILOGUE_DEFAULT, kBias = CUBLASLT_EPILOGUE_BIAS;
  layer(search, "packed", 65536, 768, 2304, kBias, kPlain);
  layer(search, "projection", 65536, 768, 768, kBias, kPlain);
  layer(search, "up", 65536, 768, 3072, CUBLASLT_EPILOGUE_GELU_AUX_BIAS, kPlain);
  layer(search, "down", 65536, 3072, 768, kBias, CUBLASLT_EPILOGUE_DGELU);
  layer(search, "head", 8192, 768, 50304, kPlain, kPlain);
}

}  // namespace lacuna::bench
