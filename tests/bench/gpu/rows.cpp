#include "tests/bench/gpu/rows.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <cstdio>

#include "trainer/kernels/cuda_check.h"

namespace lacuna::bench {
namespace {

using cuda::check;

class Stopwatch {
 public:
  Stopwatch() {
    check(cudaEventCreate(&begin_), "cudaEventCreate");
    check(cudaEventCreate(&end_), "cudaEventCreate");
  }
  ~Stopwatch() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  // Device seconds of one of `num_calls` calls.
  double time(const Call& call, int num_calls) {
    const auto stream = c10::cuda::getCurrentCUDAStream().stream();
    check(cudaEventRecord(begin_, stream), "cudaEventRecord");
    for (int i = 0; i < num_calls; ++i) call();
    check(cudaEventRecord(end_, stream), "cudaEventRecord");
    check(cudaEventSynchronize(end_), "the timed work");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime");
    return milliseconds * 1e-3 / num_calls;
  }

 private:
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

constexpr int kRounds = 9;
constexpr double kWindow = 4e-3;  // seconds of one window; a window of many calls hides the gap before the first

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

// A contestant: warmed up, with as many calls a window as fill it.
struct Contestant {
  Contestant(const Call& given, Stopwatch& watch) : call(given) {
    if (!call) return;
    watch.time(call, 2);
    num_calls = std::clamp(static_cast<int>(kWindow / watch.time(call, 2)), 1, 200);
    watch.time(call, num_calls);
  }
  void window(Stopwatch& watch) {
    if (call) seconds.push_back(watch.time(call, num_calls));
  }
  double result() const { return call ? median(seconds) : 0; }

  const Call& call;
  int num_calls = 1;
  std::vector<double> seconds;
};

double ceiling(const Call& call, double work) {
  Stopwatch watch;
  for (double spent = 0; spent < 0.3;) spent += 10 * watch.time(call, 10);  // warm, as the rows will be
  return work / time_in_turns(call, {}).ours;
}

}  // namespace

Times time_in_turns(const Call& ours, const Call& theirs) {
  Stopwatch watch;
  Contestant first(ours, watch), second(theirs, watch);
  for (int i = 0; i < kRounds; ++i) {
    first.window(watch);
    second.window(watch);
  }
  return {first.result(), second.result()};
}

Table::Table() {
  const auto options = at::TensorOptions().device(at::kCUDA).dtype(at::kBFloat16);
  {
    const auto from = at::randn({int64_t{1} << 29}, options);
    auto to = at::empty_like(from);
    copy_ = ceiling([=]() mutable { to.copy_(from); }, 2.0 * static_cast<double>(from.nbytes()));
  }
  {
    const int64_t size = 8192;
    const auto a = at::randn({size, size}, options), b = at::randn({size, size}, options);
    auto out = at::empty_like(a);
    gemm_ = ceiling([=]() mutable { at::mm_out(out, a, b); }, 2.0 * size * size * size);
  }
  std::printf("Ceilings of this run: copy %.0f GB/s, 8192^3 bf16 GEMM %.0f TFLOP/s\n\n", copy_ * 1e-9, gemm_ * 1e-12);
  std::printf("| kernel | µs | rate | of ceiling | ATen µs | ATen / ours |\n|---|---|---|---|---|---|\n");
  std::fflush(stdout);
}

void Table::row(const std::string& name, const Work& work, const Call& ours, const Call& aten) {
  const auto times = time_in_turns(ours, aten);
  const bool counts_flops = work.flops > 0;
  const double rate = (counts_flops ? work.flops : work.bytes) / times.ours;
  std::printf("| %s | %.1f | %.0f %s | %.0f %% |", name.c_str(), times.ours * 1e6, rate * (counts_flops ? 1e-12 : 1e-9),
              counts_flops ? "TFLOP/s" : "GB/s", 100 * rate / (counts_flops ? gemm_ : copy_));
  if (aten) {
    std::printf(" %.1f | %.2f |\n", times.theirs * 1e6, times.theirs / times.ours);
  } else {
    std::printf(" | |\n");
  }
  std::fflush(stdout);
}

void Table::note(const std::string& line) {
  std::printf("| %s | | | | | |\n", line.c_str());
  std::fflush(stdout);
}

}  // namespace lacuna::bench
