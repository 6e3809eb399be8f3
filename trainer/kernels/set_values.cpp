#include "trainer/kernels/set_values.h"

#include <algorithm>

#include "data/error.h"
#ifdef LACUNA_CUDA
#include <c10/cuda/CUDAStream.h>

#include "trainer/kernels/set_values_cuda.h"
#endif

namespace lacuna {

void set_values(at::Tensor& destination, std::initializer_list<double> values) {
  if (static_cast<int64_t>(values.size()) > destination.numel()) throw Error(ExitCode::internal, "set_values: too many values");
#ifdef LACUNA_CUDA
  if (destination.is_cuda()) {
    const auto stream = c10::cuda::getCurrentCUDAStream();
    if (destination.scalar_type() == at::kFloat) {
      cuda::set_values(destination.data_ptr<float>(), values, stream);
    } else {
      cuda::set_values(destination.data_ptr<double>(), values, stream);
    }
    return;
  }
#endif
  if (destination.scalar_type() == at::kFloat) {
    std::transform(values.begin(), values.end(), destination.data_ptr<float>(), [](double v) { return static_cast<float>(v); });
  } else {
    std::copy(values.begin(), values.end(), destination.data_ptr<double>());
  }
}

}  // namespace lacuna
