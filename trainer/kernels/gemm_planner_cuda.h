// Finds, times and remembers the algorithm of each matrix product.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "trainer/kernels/gemm_choices.h"
#include "trainer/kernels/gemm_cuda.h"
#include "trainer/kernels/matmul_cuda.h"

namespace lacuna::cuda {

// A way to do the work: a product, and then a pass of its own where the product leaves something to do.
struct GemmRoute {
  MatmulProblem problem;
  MatmulOperands operands;
  std::string pass;  // names the pass's kernel and size; empty: none
  std::function<void()> run_pass;
};

class GemmPlanner {
 public:
  explicit GemmPlanner(const GemmOptions& options);
  ~GemmPlanner();
  GemmPlanner(const GemmPlanner&) = delete;
  GemmPlanner& operator=(const GemmPlanner&) = delete;

  // Runs the product; throws where the library has no algorithm for it.
  void run(const MatmulProblem& problem, const MatmulOperands& operands, cudaStream_t stream);

  // The index of the route to take, from the most fused to the least; the last must always work. `make_routes` is asked only the
  // first time that `fused` (the first route's problem) comes.
  int choose(const MatmulProblem& fused, const std::function<std::vector<GemmRoute>()>& make_routes, cudaStream_t stream);

  void* pass_workspace(int64_t bytes);  // for kernels of our own; beside the products' workspace
  GemmReport report() const;

 private:
  struct Plan {
    Matmul matmul;
    cublasLtMatmulAlgo_t algorithm{};
    double microseconds = 0;
  };
  Plan* plan(const MatmulProblem& problem, const MatmulOperands& operands, cudaStream_t stream);  // null: the library has none
  std::optional<Plan> make_plan(MatmulProblem problem, const MatmulOperands& operands, cudaStream_t stream);
  // False where none of them runs.
  bool time_suggestions(Plan& plan, const std::vector<cublasLtMatmulAlgo_t>& suggestions, const MatmulOperands& operands,
                        cudaStream_t stream);
  double pass_microseconds(const GemmRoute& route, cudaStream_t stream);
  std::vector<double> time_in_turns(const std::vector<std::function<void()>>& calls, cudaStream_t stream);
  void refuse_capture(cudaStream_t stream, const std::string& key) const;

  GemmOptions options_;
  cublasLtHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  std::optional<GemmChoices> choices_;
  std::map<MatmulProblem, std::optional<Plan>> plans_;
  std::map<MatmulProblem, int> routes_;
  GemmReport report_;
};

}  // namespace lacuna::cuda
