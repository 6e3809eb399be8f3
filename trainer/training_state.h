// What a checkpoint holds of a run in training, and how it comes back: parameters and optimizer state by parameter name, and what
// the objective keeps.
#pragma once
#include <vector>

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_writer.h"
#include "trainer/model/flat_storage.h"
#include "trainer/objective.h"
#include "trainer/optim/optimizer.h"
#include "trainer/parallel/gradient_buckets.h"
#include "trainer/parallel/mesh.h"

namespace lacuna {

// The slices that this rank writes: its part of every partitioned tensor, and of the whole ones if it is the axis's first. What all
// data ranks hold the first one writes. What they hold shards of is gathered, bucket by bucket, so that a checkpoint knows nothing
// of shards; each tensor's part comes to one data rank, on the host, in turn. Every rank calls it. `optimizer` may be null.
std::vector<TensorSlice> training_slices(const FlatStorage& storage, const Optimizer* optimizer, Mesh& mesh);
// What the objective keeps (Objective::state): each data rank writes its part.
std::vector<TensorSlice> objective_slices(Objective& objective, Mesh& mesh);

// What the gradient buckets must know of each parameter.
std::vector<BucketParameter> bucket_parameters(const FlatStorage& storage);

// Fills parameters and, where `optimizer` is given, its state from a checkpoint of any layout. Throws Error(checkpoint) naming
// what is missing or has another shape.
void restore(const Checkpoint& checkpoint, FlatStorage& storage, Optimizer* optimizer, Mesh& mesh);
void restore(const Checkpoint& checkpoint, Objective& objective, Mesh& mesh);

}  // namespace lacuna
