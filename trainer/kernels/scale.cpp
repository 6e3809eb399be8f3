#include "trainer/kernels/scale.h"

#include <ATen/core/grad_mode.h>

#include "trainer/kernels/tensor_checks.h"
#ifdef LACUNA_CUDA
#include <c10/cuda/CUDAStream.h>

#include "trainer/kernels/scale_cuda.h"
#endif

namespace lacuna {

void scale(at::Tensor& x, const at::Tensor& factor) {
  const at::NoGradGuard no_grad;
  constexpr const char* kName = "scale";
  require_tensor(kName, "x", x, x.sizes(), x.scalar_type(), factor.device());
  require(factor.numel() == 1 && factor.scalar_type() == at::kFloat, kName, "the factor must be one float32");
#ifdef LACUNA_CUDA
  if (x.is_cuda()) {
    cuda::scale(x.data_ptr(), x.numel(), factor.const_data_ptr<float>(), element_of(kName, x), c10::cuda::getCurrentCUDAStream());
    return;
  }
#endif
  if (*factor.const_data_ptr<float>() != 1) x.mul_(factor);
}

}  // namespace lacuna
