// What a step would take on a layout that need not be here, from what the architecture says of its work and measured rates.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "launch/assemble.h"
#include "launch/machine_rates.h"

namespace lacuna {

// One axis's messages of one step, as one GPU sees them.
struct AxisTraffic {
  std::string name;
  int ranks = 1;
  double bytes = 0;  // sent
  double messages = 0;
  double seconds = 0;
  double hidden = 0;  // of these, behind computation
};

// Seconds of one step; every rank takes the same.
struct StepCost {
  double products = 0, attention = 0, passes = 0, launches = 0, optimizer = 0;
  std::vector<AxisTraffic> traffic;
  double communication() const;  // that is not hidden
  double total() const { return products + attention + passes + launches + optimizer + communication(); }
};

// `local_parameters`: elements on one rank, of which it updates `own_parameters`.
struct CostInput {
  ModelWork work;  // of one micro-batch
  bool bf16 = true, tf32 = false;
  double micro_batches = 1;
  double local_parameters = 0, own_parameters = 0;
  double bucket_bytes = 0;
  bool shard_optimizer = false;
  int data = 1, tensor = 1;
};
StepCost predict(const CostInput& input, const MachineRates& rates);

// Seconds of one linear layer's three products.
double linear_seconds(const LinearWork& linear, bool bf16, bool tf32, const MachineRates& rates);

// Seconds of a sum over `ranks` GPUs of `bytes` on each, whose neighbours on the axis are `stride` ranks apart: half of what a
// ring sends for each of reduce-scatter and all-gather.
double sum_seconds(double bytes, int ranks, int stride, const MachineRates& rates);

}  // namespace lacuna
