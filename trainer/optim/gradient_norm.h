// The Euclidean norm of the whole network's gradient, and the scale that clipping makes of it. All of it stays on the gradients'
// device.
#pragma once
#include "trainer/model/flat_storage.h"
#include "trainer/parallel/mesh.h"

namespace lacuna {

// The sum of squares (1) float64 of the whole network's gradient: of this rank's slices and those of the tensor axis, of its shards
// and, where the storage is sharded, those of the data axis, in one small message. What every tensor rank holds whole counts once.
// The same value on every rank.
at::Tensor squared_gradient_norm(const FlatStorage& storage, Mesh& mesh);

struct GradientScale {
  at::Tensor norm;   // (1) float64, of the gradient of the mean
  at::Tensor scale;  // (1) float32: takes the gradient of the sum to that of the mean, and its norm to at most `limit`
};
// `count` (1) float64: what the sum is divided by. limit 0 = no clipping. The scale is NaN where the norm or `loss` is not finite.
GradientScale gradient_scale(const at::Tensor& squared_norm, const at::Tensor& count, const at::Tensor& loss, double limit);

}  // namespace lacuna
