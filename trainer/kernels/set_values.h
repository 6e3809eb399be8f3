// A few numbers of the host placed in device memory by a launch that carries them as arguments: in order with the work that is
// queued, without a copy, and without host memory that would have to outlive the call.
#pragma once
#include <ATen/core/Tensor.h>

#include <initializer_list>

namespace lacuna {

// values: at most 8. destination: contiguous float64 or float32 of at least as many elements. Not for a stream that is being captured: a
// graph would repeat these very numbers.
void set_values(at::Tensor& destination, std::initializer_list<double> values);

}  // namespace lacuna
