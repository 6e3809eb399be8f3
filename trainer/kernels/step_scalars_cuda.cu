#include "trainer/kernels/cuda_check.h"
#include "trainer/kernels/step_scalars_cuda.h"

namespace lacuna::cuda {
namespace {

__global__ void set_step_inputs_kernel(StepInputs* device, const StepInputs values) { *device = values; }

// In double precision: 1 - 0.999^1 would lose half its digits in single.
__global__ void step_scalars_kernel(StepScalars* out, const StepInputs* inputs, const double* squares, int num_squares,
                                    const StepConstants constants) {
  const StepInputs in = *inputs;
  double sum = 0;
  for (int i = 0; i < num_squares; ++i) sum += squares[i];
  const double norm = sqrt(sum) / in.num_targets;
  const bool usable = isfinite(norm) && in.num_targets > 0;
  const double clip = constants.max_norm > 0 && norm > constants.max_norm ? constants.max_norm / norm : 1;
  StepScalars s;
  s.learning_rate = static_cast<float>(in.learning_rate);
  s.gradient_scale = usable ? static_cast<float>(clip / in.num_targets) : 0;
  s.correction1 = static_cast<float>(1 - pow(constants.beta1, in.step));
  s.correction2 = static_cast<float>(1 - pow(constants.beta2, in.step));
  s.skip = usable ? 0 : 1;
  s.gradient_norm = static_cast<float>(norm);
  *out = s;
}

}  // namespace

void set_step_inputs(StepInputs* device, const StepInputs& values, cudaStream_t stream) {
  set_step_inputs_kernel<<<1, 1, 0, stream>>>(device, values);
  check_launch("set_step_inputs");
}

void step_scalars(StepScalars* scalars, const StepInputs* inputs, const double* squares, int num_squares,
                  const StepConstants& constants, cudaStream_t stream) {
  step_scalars_kernel<<<1, 1, 0, stream>>>(scalars, inputs, squares, num_squares, constants);
  check_launch("step_scalars");
}

}  // namespace lacuna::cuda
