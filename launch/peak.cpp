#include "launch/peak.h"

#include <array>

#include "data/error.h"
#ifdef LACUNA_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <c10/cuda/CUDACachingAllocator.h>

#include "launch/device_timer_cuda.h"
#include "launch/machine_rates.h"
#include "trainer/kernels/gemm_choices.h"
#endif

namespace lacuna {
namespace {

// Dense, of the cards with the full chip and power; TFLOP/s by NVIDIA's data sheets.
struct DataSheet {
  const char* name;
  double bf16, tf32, fp32;
};
constexpr std::array kDataSheets{
    DataSheet{"H100 80GB HBM3", 989, 494.5, 66.9},
    DataSheet{"H200", 989, 494.5, 66.9},
    DataSheet{"A100", 312, 156, 19.5},
};

}  // namespace

std::optional<double> promised_flops(const std::string& gpu, const PrecisionOptions& precision) {
  for (const auto& sheet : kDataSheets) {
    if (gpu.find(sheet.name) == std::string::npos) continue;
    return 1e12 * (precision.compute == Compute::bf16 ? sheet.bf16 : precision.tf32 ? sheet.tf32 : sheet.fp32);
  }
  return std::nullopt;
}

#ifdef LACUNA_CUDA
namespace {

constexpr int64_t kSize = 8192;
constexpr double kProductFlops = 2.0 * kSize * kSize * kSize;

double microseconds_of_product(at::ScalarType type) {
  const auto options = at::TensorOptions().device(at::kCUDA).dtype(type);
  const auto a = at::randn({kSize, kSize}, options), b = at::randn({kSize, kSize}, options);
  auto out = at::empty({kSize, kSize}, options);
  return 1e6 * device_seconds([&] { at::mm_out(out, a, b); }, /*milliseconds=*/150);
}

}  // namespace

double measured_flops(const PrecisionOptions& precision) {
  const auto* properties = at::cuda::getCurrentDeviceProperties();
  const auto folder = cache_folder();
  GemmChoices kept(folder.empty() ? folder : folder / "peak.txt", std::string(properties->name) + ", a product of 8192 cubed");
  const std::string key = precision.compute == Compute::bf16 ? "bf16" : precision.tf32 ? "tf32" : "fp32";
  GemmChoice product;
  if (const auto* found = kept.find(key)) {
    product = *found;
  } else {
    product.microseconds = microseconds_of_product(precision.compute == Compute::bf16 ? at::kBFloat16 : at::kFloat);
    kept.put(key, product);
    c10::cuda::CUDACachingAllocator::emptyCache();
  }
  return kProductFlops / (1e-6 * product.microseconds);
}
#else
double measured_flops(const PrecisionOptions&) { throw Error(ExitCode::internal, "this build has no CUDA"); }
#endif

}  // namespace lacuna
