#include "launch/run_facts.h"

#include <unistd.h>

#include <functional>
#include <numeric>

#include "launch/version.h"

namespace lacuna {

int64_t count_parameters(const Network& network) {
  int64_t count = 0;
  for (const auto& parameter : network.parameters) {
    count += std::accumulate(parameter.full_shape.begin(), parameter.full_shape.end(), int64_t{1}, std::multiplies<>());
  }
  return count;
}

nlohmann::ordered_json run_facts(const Experiment& e, const Layout& layout, const Network& network, const Objective& objective) {
  const double flops = flops_per_token(objective, *network.architecture, layout.row_length);
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  return {{"objective", find_objective(e.objective).name},
          {"architecture", find_architecture(e.architecture).name},
          {"parameters", count_parameters(network)},
          {"tokens_per_step", layout.tokens_per_step},
          {"text_tokens_per_step", e.batch.global_size * objective.sample_stride()},
          {"flops_per_token", flops},
          {"flops_per_step", flops * static_cast<double>(layout.tokens_per_step)},
          {"steps", layout.steps},
          {"ranks", layout.world},
          {"device", layout.device == at::kCPU ? "cpu" : "cuda"},
          {"host", host},
          {"version", LACUNA_VERSION},
          {"commit", code_commit()}};
}

}  // namespace lacuna
