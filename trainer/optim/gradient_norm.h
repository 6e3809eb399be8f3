// The Euclidean norm of the whole network's gradient, and what clipping makes of it.
#pragma once
#include "trainer/model/flat_storage.h"
#include "trainer/parallel/communicator.h"

namespace lacuna {

// Slices are summed over the tensor axis; what every rank of it holds whole counts once. The same value on every rank.
double gradient_norm(const FlatStorage& storage, Communicator& tensor_axis);

// The factor that brings `norm` down to `limit`; 1 where it is below, or where limit is 0.
inline double clip_factor(double norm, double limit) { return limit > 0 && norm > limit ? limit / norm : 1.0; }

}  // namespace lacuna
