// Times device kernels and prints a Markdown row each. A kernel family has a file of its own, tests/bench/gpu/FAMILY_rows.cpp,
// that defines void lacuna::bench::FAMILY_rows(Table&); the build finds it.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace lacuna::bench {

using Call = std::function<void()>;  // launches its work on the current stream of LibTorch and returns; capture tensors by value

// The least that the work must do: device bytes with every input read once and every output written once, or floating-point
// operations. Where flops is given the row is in TFLOP/s against the GEMM ceiling, else in GB/s against the copy ceiling.
struct Work {
  double bytes = 0;
  double flops = 0;
};

// Medians of device seconds per call, ours and the other's taken in turns within one run, so that a drifting clock counts for
// neither. `theirs` may be empty.
struct Times {
  double ours = 0, theirs = 0;
};
Times time_in_turns(const Call& ours, const Call& theirs);

class Table {
 public:
  Table();  // measures the ceilings (a 1 GiB copy; an 8192^3 bf16 product of random numbers) and prints the head of the table

  // Prints: name, time, rate, share of the ceiling, ATen's time for the same work, ATen's time over ours.
  void row(const std::string& name, const Work& work, const Call& ours, const Call& aten = {});
  void note(const std::string& line);  // a line that the rows need to be understood

  double copy_bytes_per_second() const { return copy_; }
  double gemm_flops_per_second() const { return gemm_; }

 private:
  double copy_ = 0, gemm_ = 0;
};

struct Family {
  const char* name;
  void (*rows)(Table&);
};
std::vector<Family> families();  // written by the build from the files' names

}  // namespace lacuna::bench
