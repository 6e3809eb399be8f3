#include "trainer/kernels/gemm_planner_cuda.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <memory>

#include "trainer/kernels/cuda_check.h"

namespace lacuna::cuda {
namespace {

static_assert(sizeof(cublasLtMatmulAlgo_t) == sizeof(GemmChoice::algorithm));

constexpr int kRounds = 7;
constexpr double kWindow = 1000;         // microseconds of one timed window: shorter ones are over before the power limit bites
constexpr double kWorthIt = 0.995;       // a later suggestion must be this much faster, or noise would choose
constexpr int64_t kPassBytes = 8 << 20;  // of workspace, for our own kernels

std::string machine() {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  return std::string(properties.name) + ", cublasLt " + std::to_string(cublasLtGetVersion());
}

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "cudaEventCreate"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  double microseconds_since(const Event& begin) {
    check(cudaEventSynchronize(event_), "a matrix product that was being timed");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin.event_, event_), "cudaEventElapsedTime");
    return 1e3 * milliseconds;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

class Scratch {
 public:
  explicit Scratch(size_t bytes) { check(cudaMalloc(&data_, bytes), "scratch memory to time a matrix product in"); }
  ~Scratch() { cudaFree(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

double time_once(const std::function<void()>& call, int num_calls, cudaStream_t stream) {
  Event begin, end;
  begin.record(stream);
  for (int i = 0; i < num_calls; ++i) call();
  end.record(stream);
  return end.microseconds_since(begin) / num_calls;
}

}  // namespace

GemmPlanner::GemmPlanner(const GemmOptions& options) : options_(options) {
  check(cublasLtCreate(&handle_), "cublasLtCreate");
  check(cudaMalloc(&workspace_, static_cast<size_t>(options_.workspace_bytes + kPassBytes)), "the workspace of matrix products");
  // What is not timed is not kept either: the file could only make a deterministic run depend on another run's timing.
  const bool timed = !options_.deterministic && options_.num_suggestions > 1;
  choices_.emplace(timed ? options_.choices_file : std::filesystem::path(), machine());
}

GemmPlanner::~GemmPlanner() {
  plans_.clear();
  cudaFree(workspace_);
  cublasLtDestroy(handle_);
}

void* GemmPlanner::pass_workspace(int64_t bytes) {
  if (bytes > kPassBytes) {
    throw Error(ExitCode::internal, "the column sums of one matrix need " + std::to_string(bytes) + " bytes of workspace, and " +
                                        std::to_string(kPassBytes) + " are set aside: raise kPassBytes in gemm_planner_cuda.cpp");
  }
  return static_cast<char*>(workspace_) + options_.workspace_bytes;
}

void GemmPlanner::refuse_capture(cudaStream_t stream, const std::string& key) const {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
  if (status == cudaStreamCaptureStatusNone) return;
  throw Error(ExitCode::internal, "a CUDA graph is being captured, and the matrix product '" + key +
                                      "' has no plan yet, which takes timing: run one step of these shapes before capturing it");
}

std::vector<double> GemmPlanner::time_in_turns(const std::vector<std::function<void()>>& calls, cudaStream_t stream) {
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::vector<double>> windows(calls.size());
  std::vector<int> num_calls;
  for (const auto& call : calls) {
    time_once(call, 1, stream);  // loads the kernel
    num_calls.push_back(std::clamp(static_cast<int>(kWindow / time_once(call, 1, stream)), 1, 50));
  }
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < calls.size(); ++i) windows[i].push_back(time_once(calls[i], num_calls[i], stream));
  }
  std::vector<double> medians;
  for (auto& values : windows) {
    std::nth_element(values.begin(), values.begin() + kRounds / 2, values.end());
    medians.push_back(values[kRounds / 2]);
  }
  report_.seconds_spent += std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return medians;
}

bool GemmPlanner::time_suggestions(Plan& plan, const std::vector<cublasLtMatmulAlgo_t>& suggestions,
                                   const MatmulOperands& operands, cudaStream_t stream) {
  const auto bytes = static_cast<size_t>(options_.workspace_bytes);
  std::vector<cublasLtMatmulAlgo_t> running;
  std::vector<std::function<void()>> calls;
  for (const auto& algorithm : suggestions) {
    // Some suggestions turn out not to run; the others stand for them.
    if (plan.matmul.run(operands, algorithm, workspace_, bytes, stream) != CUBLAS_STATUS_SUCCESS) continue;
    running.push_back(algorithm);
    calls.emplace_back([this, &plan, &operands, algorithm, bytes, stream] {
      check(plan.matmul.run(operands, algorithm, workspace_, bytes, stream), "cublasLtMatmul");
    });
  }
  if (running.empty()) return false;
  const auto times = time_in_turns(calls, stream);
  size_t best = 0;
  for (size_t i = 1; i < times.size(); ++i) {
    if (times[i] < kWorthIt * times[best]) best = i;
  }
  plan.algorithm = running[best];
  plan.microseconds = times[best];
  report_.num_timed += 1;
  return true;
}

std::optional<GemmPlanner::Plan> GemmPlanner::make_plan(MatmulProblem problem, const MatmulOperands& operands, cudaStream_t stream) {
  problem.tf32 = options_.tf32 && problem.input == Element::f32;
  const auto key = problem.key();
  refuse_capture(stream, key);
  if (problem.ld_aux % 8 != 0) return std::nullopt;  // documented, but found out only when the product is to run
  const auto bytes = static_cast<size_t>(options_.workspace_bytes);
  Plan plan{Matmul(handle_, problem, operands)};
  if (const auto* kept = choices_->find(key)) {
    std::memcpy(&plan.algorithm, kept->algorithm.data(), sizeof plan.algorithm);
    if (plan.matmul.accepts(plan.algorithm, bytes)) {
      plan.microseconds = kept->microseconds;
      report_.num_from_file += 1;
      return plan;
    }
  }
  const auto suggestions = plan.matmul.suggestions(std::max(options_.num_suggestions, 1), bytes, options_.deterministic);
  if (suggestions.empty()) return std::nullopt;
  plan.algorithm = suggestions.front();
  const bool timed = !options_.deterministic && (suggestions.size() > 1 || options_.fusion == Fusion::by_time);
  if (!timed) return plan;
  auto safe = operands;
  std::unique_ptr<Scratch> scratch;
  if (problem.accumulate) {  // timing would add to the caller's sums again and again
    const auto elements = static_cast<size_t>((problem.n - 1) * problem.ldd + problem.m);
    scratch = std::make_unique<Scratch>(elements * static_cast<size_t>(size_of(problem.output)));
    check(cudaMemsetAsync(scratch->data(), 0, elements * static_cast<size_t>(size_of(problem.output)), stream),
          "cudaMemsetAsync");
    safe.d = scratch->data();
  }
  if (!time_suggestions(plan, suggestions, safe, stream)) return std::nullopt;
  GemmChoice choice;
  std::memcpy(choice.algorithm.data(), &plan.algorithm, sizeof plan.algorithm);
  choice.microseconds = plan.microseconds;
  choices_->put(key, choice);
  return plan;
}

GemmPlanner::Plan* GemmPlanner::plan(const MatmulProblem& problem, const MatmulOperands& operands, cudaStream_t stream) {
  auto found = plans_.find(problem);
  if (found == plans_.end()) {
    found = plans_.emplace(problem, make_plan(problem, operands, stream)).first;
    report_.num_plans += found->second ? 1 : 0;
  }
  return found->second ? &*found->second : nullptr;
}

void GemmPlanner::run(const MatmulProblem& problem, const MatmulOperands& operands, cudaStream_t stream) {
  auto* chosen = plan(problem, operands, stream);
  if (chosen == nullptr) {
    throw Error(ExitCode::internal, "cublasLt has no algorithm for the matrix product '" + problem.key() +
                                        "'; sizes and strides that are multiples of 8 are the safest");
  }
  check(chosen->matmul.run(operands, chosen->algorithm, workspace_, static_cast<size_t>(options_.workspace_bytes), stream),
        "cublasLtMatmul of '" + problem.key() + "'");
}

double GemmPlanner::pass_microseconds(const GemmRoute& route, cudaStream_t stream) {
  if (route.pass.empty()) return 0;
  if (const auto* kept = choices_->find(route.pass)) return kept->microseconds;
  GemmChoice choice;
  choice.microseconds = time_in_turns({route.run_pass}, stream).front();
  choices_->put(route.pass, choice);
  return choice.microseconds;
}

int GemmPlanner::choose(const MatmulProblem& fused, const std::function<std::vector<GemmRoute>()>& make_routes,
                        cudaStream_t stream) {
  if (const auto found = routes_.find(fused); found != routes_.end()) return found->second;
  refuse_capture(stream, fused.key());
  const auto routes = make_routes();
  const int last = static_cast<int>(routes.size()) - 1;
  int chosen = last;
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i <= last && options_.fusion != Fusion::never; ++i) {
    const auto& route = routes[static_cast<size_t>(i)];
    const auto* made = plan(route.problem, route.operands, stream);
    if (made == nullptr) continue;
    if (options_.deterministic || options_.fusion == Fusion::always) {
      chosen = i;
      break;
    }
    const double time = made->microseconds + pass_microseconds(route, stream);
    if (time < best) {
      best = time;
      chosen = i;
    }
  }
  routes_[fused] = chosen;
  return chosen;
}

GemmReport GemmPlanner::report() const {
  auto report = report_;
  report.note = choices_->note();
  return report;
}

}  // namespace lacuna::cuda
