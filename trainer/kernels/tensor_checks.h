// What the tensor level of a kernel makes sure of before it hands out pointers. Each failure is an Error that names the kernel
// and the tensor: a mistake of the caller, not of the user.
#pragma once
#include <ATen/core/Tensor.h>

#include "trainer/kernels/cuda_types.h"

namespace lacuna {

void require(bool condition, const char* kernel, const char* what);

// The tensor is contiguous, and of this shape, type and device.
void require_tensor(const char* kernel, const char* name, const at::Tensor& tensor, at::IntArrayRef shape, at::ScalarType type,
                    at::Device device);

// The element type of a device kernel: fp32 or bf16.
cuda::Element element_of(const char* kernel, const at::Tensor& tensor);

// The given tensor after the checks above, or a new one where it is undefined.
at::Tensor given_or_new(const char* kernel, const char* name, at::Tensor given, at::IntArrayRef shape, at::ScalarType type,
                        at::Device device);

// Null for an undefined tensor.
inline const void* data_of(const at::Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr() : nullptr; }
inline void* mutable_data_of(const at::Tensor& tensor) { return tensor.defined() ? tensor.mutable_data_ptr() : nullptr; }
template <class T>
T* mutable_data_of(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.mutable_data_ptr<T>() : nullptr;
}

}  // namespace lacuna
