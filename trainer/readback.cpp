#include "trainer/readback.h"

#include <ATen/ops/empty.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace lacuna {

void Readback::send(const at::Tensor& values) {
  const auto device = values.device();
  Sent sent{at::empty(values.sizes(), at::TensorOptions().dtype(at::kDouble).pinned_memory(!device.is_cpu())), {}};
  sent.host.copy_(values, /*non_blocking=*/true);
  if (!device.is_cpu()) {
    sent.arrived.emplace(device.type());
    sent.arrived->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
  }
  sent_.push_back(std::move(sent));
}

std::vector<double> Readback::take() {
  const auto sent = std::move(sent_.front());
  sent_.pop_front();
  if (sent.arrived) sent.arrived->synchronize();
  const auto* values = sent.host.const_data_ptr<double>();
  return {values, values + sent.host.numel()};
}

}  // namespace lacuna
