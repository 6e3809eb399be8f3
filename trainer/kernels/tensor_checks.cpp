#include "trainer/kernels/tensor_checks.h"

#include <ATen/ops/empty.h>

#include <sstream>

#include "data/error.h"

namespace lacuna {

void require(bool condition, const char* kernel, const char* what) {
  if (!condition) throw Error(ExitCode::internal, std::string(kernel) + ": " + what);
}

void require_tensor(const char* kernel, const char* name, const at::Tensor& tensor, at::IntArrayRef shape, at::ScalarType type,
                    at::Device device) {
  if (tensor.defined() && tensor.sizes() == shape && tensor.scalar_type() == type && tensor.device() == device &&
      tensor.is_contiguous()) {
    return;
  }
  std::ostringstream message;
  message << kernel << ": " << name << " must be contiguous, of shape " << shape << " and type " << type << " on " << device
          << ", but is ";
  if (tensor.defined()) {
    message << tensor.sizes() << ", " << tensor.scalar_type() << " on " << tensor.device()
            << (tensor.is_contiguous() ? "" : ", not contiguous");
  } else {
    message << "undefined";
  }
  throw Error(ExitCode::internal, message.str());
}

cuda::Element element_of(const char* kernel, const at::Tensor& tensor) {
  if (tensor.scalar_type() == at::kFloat) return cuda::Element::f32;
  if (tensor.scalar_type() == at::kBFloat16) return cuda::Element::bf16;
  throw Error(ExitCode::internal,
              std::string(kernel) + ": computes in fp32 and bf16, not in " + at::toString(tensor.scalar_type()));
}

at::Tensor given_or_new(const char* kernel, const char* name, at::Tensor given, at::IntArrayRef shape, at::ScalarType type,
                        at::Device device) {
  if (!given.defined()) return at::empty(shape, at::TensorOptions().dtype(type).device(device));
  require_tensor(kernel, name, given, shape, type, device);
  return given;
}

}  // namespace lacuna
