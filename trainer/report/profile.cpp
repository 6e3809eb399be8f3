#include "trainer/report/profile.h"

#include <ATen/Context.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <set>

#include "data/error.h"

namespace lacuna {
namespace {

using torch::profiler::impl::ActivityType;
namespace profiler = torch::autograd::profiler;

std::set<ActivityType> activities() {
  std::set<ActivityType> all{ActivityType::CPU};
  if (at::hasCUDA()) all.insert(ActivityType::CUDA);
  return all;
}

void wait_for_device() {
  if (!at::hasCUDA()) return;
  const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
  guard.synchronizeDevice(guard.getDevice().index());
}

}  // namespace

void Profile::before(int64_t step) const {
  if (step != first_ || first_ == 0) return;
  wait_for_device();
  const torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO);
  profiler::prepareProfiler(config, activities());
  profiler::enableProfiler(config, activities());
}

bool Profile::after(int64_t step) const {
  if (step != last_ || first_ == 0) return false;
  wait_for_device();
  profiler::disableProfiler()->save(file_.string());
  if (!std::filesystem::exists(file_)) throw disk_error(file_.string() + " cannot be written");
  return true;
}

}  // namespace lacuna
