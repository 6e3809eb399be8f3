// The numbers of one optimizer step, made and kept on the device: no step waits for the host, and a CUDA graph of the step
// holds none of them, only the constants of the run.
#pragma once
#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

// What changes from step to step, in device memory.
struct StepInputs {
  double step;           // number of the update, from 1
  double learning_rate;  // of this step, the schedule applied
  double num_targets;    // of the whole batch; the gradients are those of the loss's sum
};

// What the update needs, in device memory. The first four are the `scalars` of adamw.
struct StepScalars {
  float learning_rate, gradient_scale;  // gradient_scale: clip factor / num_targets
  float correction1, correction2;       // 1 - beta1^step, 1 - beta2^step
  float skip;                           // 1 where the norm is not finite or there is no target, else 0
  float gradient_norm;                  // of the mean's gradient, before clipping
};

struct StepConstants {
  double beta1, beta2;
  double max_norm;  // 0 = no clipping
};

// Writes the host's values by a launch that carries them as arguments: asynchronous, and no host memory must outlive the call.
// Call it on the stream before the graph is launched, never while it is captured.
void set_step_inputs(StepInputs* device, const StepInputs& values, cudaStream_t stream);

// squares (num_squares): sums of squares of the gradients of the loss's sum, the tensor axis already summed; they are added up.
void step_scalars(StepScalars* scalars, const StepInputs* inputs, const double* squares, int num_squares,
                  const StepConstants& constants, cudaStream_t stream);

}  // namespace lacuna::cuda
