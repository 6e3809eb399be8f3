#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/gradient_scale_cuda.h"

namespace lacuna::cuda {
namespace {

__global__ void scale_kernel(double* norm, float* scale, const double* squared_norm, const double* count, const double* loss,
                             double limit) {
  const double n = sqrt(*squared_norm) / *count;
  double s = 1 / *count;
  if (limit > 0 && n > limit) s *= limit / n;
  *norm = n;
  *scale = static_cast<float>(isfinite(n) && isfinite(*loss) ? s : nan(""));
}

}  // namespace

void gradient_scale(double* norm, float* scale, const double* squared_norm, const double* count, const double* loss, double limit,
                    cudaStream_t stream) {
  scale_kernel<<<1, 1, 0, stream>>>(norm, scale, squared_norm, count, loss, limit);
  check_launch("gradient_scale");
}

}  // namespace lacuna::cuda
