#include "launch/device.h"

#include <ATen/Context.h>

#include <cstdlib>

#include "trainer/parallel/mesh.h"
#ifdef LACUNA_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include "trainer/kernels/gemm_cuda.h"
#endif

namespace lacuna {
namespace {

bool has_gpu() { return at::hasCUDA(); }

#ifdef LACUNA_CUDA
// Choices of algorithms are worth keeping from run to run: they cost seconds to find.
std::filesystem::path choices_file() {
  const char* cache = std::getenv("LACUNA_CACHE");
  const char* home = std::getenv("HOME");
  if (cache == nullptr && home == nullptr) return {};
  const auto folder = cache != nullptr ? std::filesystem::path(cache) : std::filesystem::path(home) / ".cache" / "lacuna";
  std::error_code ignored;  // without a folder the choices are made anew
  std::filesystem::create_directories(folder, ignored);
  return folder / "matmul_choices.txt";
}
#endif

}  // namespace

at::DeviceType choose_device(const Experiment& e) {
  const bool cuda = e.run.device == DeviceChoice::cuda || (e.run.device == DeviceChoice::automatic && has_gpu());
  if (cuda && !has_gpu()) {
#ifdef LACUNA_CUDA
    throw e.run_section.error("device", "no GPU is found on this machine (nvidia-smi lists them); use \"auto\" or \"cpu\"");
#else
    throw e.run_section.error("device", "this build has no CUDA; use \"auto\" or \"cpu\", or build the preset cuda");
#endif
  }
  if (!cuda && e.precision.compute == Compute::bf16) {
    throw e.precision_section.error("compute", "bf16 needs a CUDA device; the CPU computes in \"fp32\"");
  }
  return cuda ? at::kCUDA : at::kCPU;
}

at::ScalarType compute_type(const Experiment& e) { return e.precision.compute == Compute::bf16 ? at::kBFloat16 : at::kFloat; }

DeviceSession::DeviceSession(at::DeviceType type, const Experiment& experiment) : device_(type) {
  if (type == at::kCPU) return;
#ifdef LACUNA_CUDA
  device_ = at::Device(type, static_cast<c10::DeviceIndex>(local_rank() % c10::cuda::device_count()));
  stream_.emplace(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device_.index()).unwrap());
  at::globalContext().setAllowTF32CuBLAS(false);
  at::globalContext().setAllowTF32CuDNN(false);
  if (experiment.run.deterministic) {
    // cuBLAS repeats its bits with a workspace of fixed size, and LibTorch refuses its products without one.
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
    at::globalContext().setDeterministicFillUninitializedMemory(false);  // kernels write all that they allocate
  }
  cuda::configure_gemm({.choices_file = choices_file(), .deterministic = experiment.run.deterministic});
#else
  (void)experiment;
#endif
}

std::string DeviceSession::description() const {
#ifdef LACUNA_CUDA
  if (device_.is_cuda()) return device_.str() + ", " + at::cuda::getDeviceProperties(device_.index())->name;
#endif
  return device_.str();
}

}  // namespace lacuna
