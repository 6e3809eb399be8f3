// The device that a process computes on.
#pragma once
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>
#include <c10/core/StreamGuard.h>

#include <optional>
#include <string>

#include "trainer/config/experiment.h"

namespace lacuna {

// What run.device and precision.compute ask for: a GPU where "auto" finds one. Throws usage errors at the keys that cannot be had.
at::DeviceType choose_device(const Experiment& experiment);
at::ScalarType compute_type(const Experiment& experiment);

// This process's own device of that type: of several GPUs, the one of its number on its machine. While it lives, work is queued
// on a stream of its own there, and products of fp32 are true fp32. Once MPI is up.
class DeviceSession {
 public:
  DeviceSession(at::DeviceType type, const Experiment& experiment);
  at::Device device() const { return device_; }
  bool is_cpu() const { return device_.is_cpu(); }
  std::string description() const;  // "cpu", "cuda:0, NVIDIA H200, ..."

 private:
  at::Device device_;
  std::optional<c10::StreamGuard> stream_;
};

}  // namespace lacuna
