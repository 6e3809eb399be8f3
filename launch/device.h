// The device that a process computes on.
#pragma once
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>
#include <c10/core/StreamGuard.h>

#include <optional>
#include <string>

#include "trainer/config/experiment.h"

namespace lacuna {

// What a device is chosen for: a run here; a dry run, which needs no device; a dry run of a job somewhere else.
enum class Purpose { run, dry_run, elsewhere };

// What run.device and precision.compute ask for. "auto" is a GPU where one is found here, for a dry run also where bf16 asks for
// one, and elsewhere always. Throws usage errors at the keys that cannot be had.
at::DeviceType choose_device(const Experiment& experiment, Purpose purpose = Purpose::run);
bool has_gpu();  // this machine and this build
at::ScalarType compute_type(const Experiment& experiment);

// This process's own device of that type: of several GPUs, the one of its number on its machine. While it lives, work is queued
// on a stream of its own there, and products of fp32 are true fp32. Once MPI is up.
class DeviceSession {
 public:
  DeviceSession(at::DeviceType type, const Experiment& experiment);
  at::Device device() const { return device_; }
  bool is_cpu() const { return device_.is_cpu(); }
  std::string gpu() const;  // as the driver names it, such as "NVIDIA H200"; empty on the CPU

 private:
  at::Device device_;
  std::optional<c10::StreamGuard> stream_;
};

}  // namespace lacuna
