#include "launch/device.h"

#include <ATen/Context.h>

#include <cstdlib>

#include "launch/machine_rates.h"
#include "trainer/parallel/mesh.h"
#ifdef LACUNA_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include "trainer/kernels/gemm_cuda.h"
#endif

namespace lacuna {
namespace {

#ifdef LACUNA_CUDA
// Choices of algorithms are worth keeping from run to run: they cost seconds to find.
std::filesystem::path choices_file() {
  const auto folder = cache_folder();
  return folder.empty() ? folder : folder / "matmul_choices.txt";
}
#endif

}  // namespace

bool has_gpu() { return at::hasCUDA(); }

at::DeviceType choose_device(const Experiment& e, Purpose purpose) {
  const bool found =
      has_gpu() || purpose == Purpose::elsewhere || (purpose == Purpose::dry_run && e.precision.compute == Compute::bf16);
  const bool cuda = e.run.device == DeviceChoice::cuda || (e.run.device == DeviceChoice::automatic && found);
  if (cuda && !has_gpu() && purpose == Purpose::run) {
#ifdef LACUNA_CUDA
    throw e.run_section.error("device", "no GPU is found on this machine (nvidia-smi lists them); use \"auto\" or \"cpu\"");
#else
    throw e.run_section.error("device", "this build has no CUDA; use \"auto\" or \"cpu\", or build the preset cuda");
#endif
  }
  if (!cuda && e.precision.compute == Compute::bf16) {
    throw e.precision_section.error("compute", "bf16 needs a CUDA device; the CPU computes in \"fp32\"");
  }
  if (e.precision.tf32 && (!cuda || e.precision.compute != Compute::fp32)) {
    throw e.precision_section.error("tf32", std::string("concerns products of fp32 on a GPU, and this run computes in ") +
                                                (cuda ? "bf16; leave tf32 out" : "fp32 on a CPU; leave tf32 out"));
  }
  return cuda ? at::kCUDA : at::kCPU;
}

at::ScalarType compute_type(const Experiment& e) { return e.precision.compute == Compute::bf16 ? at::kBFloat16 : at::kFloat; }

DeviceSession::DeviceSession(at::DeviceType type, const Experiment& experiment) : device_(type) {
  if (type == at::kCPU) return;
#ifdef LACUNA_CUDA
  device_ = at::Device(type, static_cast<c10::DeviceIndex>(local_rank() % c10::cuda::device_count()));
  stream_.emplace(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device_.index()).unwrap());
  // LibTorch's own products, which the reference kernels are made of; cuda::Gemm sums in fp32 always. Where the network computes in
  // bf16, the few products of a loss that are left in fp32 need not be more exact than TF32, whose factors have three bits more.
  const bool tf32 = experiment.precision.tf32 || experiment.precision.compute == Compute::bf16;
  auto& context = at::globalContext();
  context.setAllowTF32CuBLAS(tf32);
  context.setAllowTF32CuDNN(tf32);
  context.setAllowBF16ReductionCuBLAS(false, /*allow_splitk=*/true);
  if (experiment.run.deterministic) {
    // cuBLAS repeats its bits with a workspace of fixed size, and LibTorch refuses its products without one.
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
    context.setDeterministicAlgorithms(true, /*warn_only=*/false);
    context.setDeterministicFillUninitializedMemory(false);  // kernels write all that they allocate
  }
  cuda::configure_gemm(
      {.choices_file = choices_file(), .deterministic = experiment.run.deterministic, .tf32 = experiment.precision.tf32});
#else
  (void)experiment;
#endif
}

std::string DeviceSession::gpu() const {
#ifdef LACUNA_CUDA
  if (device_.is_cuda()) return at::cuda::getDeviceProperties(device_.index())->name;
#endif
  return "";
}

}  // namespace lacuna
