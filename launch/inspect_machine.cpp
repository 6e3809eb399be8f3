#include <ATen/Context.h>

#include "data/error.h"
#include "launch/device.h"
#include "launch/environment.h"
#include "launch/inspect.h"
#include "launch/measure_machine.h"

namespace lacuna {
namespace {

using Json = nlohmann::ordered_json;

Json value_of(const Field& field) {
  return std::visit(
      [](const auto& value) -> Json {
        if constexpr (requires { Json(*value); }) return *value;
        return Json();
      },
      field.value);
}

}  // namespace

Json inspect_machine() {
  if (!has_gpu()) {
    throw usage_error(
        "rates are of GPUs, and this machine or build has none; lacuna train CONFIG --dry-run --machine h200 predicts with "
        "those of a known machine");
  }
  const Experiment plain;
  const DeviceSession device(at::kCUDA, plain);
  const auto mesh = under_mpi() ? make_device_mesh(1, device.device()) : make_self_mesh();
  auto rates = measure_machine(*mesh, find_rates("h200"), device.gpu());
  if (mesh->world().rank() == 0) keep_rates(rates);
  Json info{{"kind", "machine"}, {"kept", kept_rates_file().string()}};
  for (const auto& field : fields_of(rates)) info[std::string(field.key)] = value_of(field);
  return info;
}

}  // namespace lacuna
