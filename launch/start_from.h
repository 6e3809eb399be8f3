// run.start_from: the weights of another run to begin with.
#pragma once
#include <optional>

#include "launch/assemble.h"
#include "trainer/parallel/mesh.h"
#include "trainer/report/screen.h"

namespace lacuna {

// The checkpoint that the experiment begins with, the same on all ranks; nothing where it begins with none. Collective. Throws
// Error(checkpoint) where there is no good one, a usage error where its tokenizer is another: its embedding would mean other tokens.
std::optional<Checkpoint> open_origin(const Experiment& experiment, const SampleSpec& samples, Communicator& world);

// Sets the weights from it and tells of what kept its initial values.
void begin_from(const Checkpoint& origin, FlatStorage& storage, Mesh& mesh, Screen& screen);

}  // namespace lacuna
