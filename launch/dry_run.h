// What a run needs before it starts: parameters, memory and FLOPs as a table, and the resolved config.
#pragma once
#include <string>

#include "launch/assemble.h"
#include "trainer/report/screen.h"

namespace lacuna {

struct MemoryEstimate {
  double program = 0;  // code and libraries, before any tensor
  double parameters = 0, gradients = 0, optimizer = 0, activations = 0, head = 0, checkpoint_copy = 0;
  double total() const { return program + parameters + gradients + optimizer + activations + head + checkpoint_copy; }
};

// Bytes at the peak of one rank's process on the CPU.
MemoryEstimate estimate_memory(const Experiment& experiment, const Layout& layout, const Network& network,
                               const Vocabulary& vocabulary);

// The banner of `train`, which --dry-run prints too: every resolved number that a person checks first.
Table describe_run(const Experiment& experiment, const Layout& layout, const Network& network, const Vocabulary& vocabulary);

}  // namespace lacuna
