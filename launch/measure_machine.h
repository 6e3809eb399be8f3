// Measures the rates that the cost model multiplies, on the GPU at hand and, under mpirun, between the GPUs of the job.
#pragma once
#include "launch/machine_rates.h"
#include "trainer/parallel/mesh.h"

namespace lacuna {

// Collective over the mesh's world, on the current device and stream; takes about five seconds. What the job cannot show (links
// of a single GPU, the network of a single machine) is taken from `known`, and the text of `measured` says so.
MachineRates measure_machine(Mesh& mesh, const MachineRates& known, const std::string& gpu);

}  // namespace lacuna
