// Weights that a run begins with, from a checkpoint of another: to go on with another objective or visibility (adaptation: Wang et
// al. 2022, "What Language Model Architecture and Pretraining Objective Work Best", section 5), on other data, or on longer rows.
#pragma once
#include <string>
#include <vector>

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/model/flat_storage.h"
#include "trainer/parallel/mesh.h"

namespace lacuna {

// What kept its initial values, in words for the screen; empty where the checkpoint had everything.
struct AdoptedWeights {
  std::vector<std::string> rows_added;  // tables that have more rows than the checkpoint's
  std::vector<std::string> left_out;    // what only the checkpoint's objective or only this one has
};

// Sets every parameter of the architecture to the checkpoint's; optimizer state and counters stay as they are. Of tables, rows that
// both have are taken. An objective's own parameters are taken where both have them. Throws Error(checkpoint), naming the first
// parameter that the checkpoint lacks, that has another shape there, or that only the checkpoint has: then the networks differ.
AdoptedWeights adopt_weights(const Checkpoint& checkpoint, FlatStorage& storage, Mesh& mesh);

}  // namespace lacuna
