// Turns CUDA's return codes into lacuna::Error. For the files of CUDA builds only: it needs the toolkit's headers.
#pragma once
#include <cuda_runtime_api.h>

#include <string>

#include "data/error.h"

namespace lacuna::cuda {

// `what`: the call or the kernel, as the reader of the message should know it.
inline void check(cudaError_t status, const std::string& what) {
  if (status == cudaSuccess) return;
  const auto code = status == cudaErrorMemoryAllocation ? ExitCode::memory : ExitCode::internal;
  throw Error(code, "CUDA: " + what + " failed with " + cudaGetErrorName(status) + " (" + cudaGetErrorString(status) + ")");
}

// After a launch: what is found is an error of the launch itself, or one that earlier work left behind.
inline void check_launch(const char* kernel) { check(cudaGetLastError(), std::string("the launch of ") + kernel); }

}  // namespace lacuna::cuda
