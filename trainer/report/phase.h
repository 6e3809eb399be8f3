// A named stretch of the straight line. In a CUDA build it is an NVTX range, which Nsight Systems shows beside the kernels; in
// every build it is in the trace of run.profile. Costs nanoseconds where nobody looks.
//
// The host's time: a recorded step is one range, "replay", since its inner ranges pass only while it is recorded.
#pragma once
#include <ATen/record_function.h>

namespace lacuna {

class Phase {
 public:
  explicit Phase(const char* name);  // a literal
  ~Phase();
  Phase(const Phase&) = delete;
  Phase& operator=(const Phase&) = delete;

 private:
  at::RecordFunction record_;
};

template <class Body>
decltype(auto) in_phase(const char* name, Body&& body) {
  const Phase phase(name);
  return body();
}

}  // namespace lacuna
