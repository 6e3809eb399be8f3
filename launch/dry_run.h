// What a run needs before it starts: parameters, memory and FLOPs as a table, and what a step would take elsewhere.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "launch/assemble.h"
#include "launch/cost_model.h"
#include "trainer/report/screen.h"

namespace lacuna {

struct MemoryEstimate {
  std::vector<std::pair<std::string, double>> parts;
  double total() const;
  double operator[](const std::string& part) const;  // 0 where there is none
};

// Bytes at the peak of one rank: of its process on the CPU, of its GPU (as nvidia-smi counts them) on a device.
MemoryEstimate estimate_memory(const Experiment& experiment, const Layout& layout, const Objective& objective,
                               const Network& network, const SampleSpec& samples);

// What the cost model asks of a run.
CostInput cost_of(const Experiment& experiment, const Layout& layout, const Objective& objective, const Network& network);

// The banner of `train`, which --dry-run prints too: every resolved number that a person checks first.
Table describe_run(const Experiment& experiment, const Layout& layout, const Objective& objective, const Network& network,
                   const SampleSpec& samples);

// The step on a machine of these rates: time and its parts, MFU, messages.
Table describe_cost(const Experiment& experiment, const Layout& layout, const Objective& objective, const Network& network,
                    const MachineRates& rates);

}  // namespace lacuna
