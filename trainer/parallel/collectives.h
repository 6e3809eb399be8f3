// The collectives of tensor parallelism as differentiable operations on one axis of the mesh (Shoeybi et al., "Megatron-LM",
// 2019, section 3: f and g are copy_to_axis and reduce_from_axis; Korthikanti et al., 2022, section 4.2.2: g and its conjugate are
// gather_to_axis and scatter_from_axis). Each one's derivative is another one, so second derivatives
// work. On an axis of one rank each returns its input. `axis` must outlive the graph.
#pragma once
#include <ATen/core/Tensor.h>

#include "trainer/parallel/communicator.h"

namespace lacuna {

// The same tensor on every rank, about to be used differently by each; its gradient is the sum over the axis.
at::Tensor copy_to_axis(const at::Tensor& input, Communicator& axis);

// The sum over the axis, which every rank then uses alike; its gradient passes as it is.
at::Tensor reduce_from_axis(const at::Tensor& input, Communicator& axis);

// (..., n) on each rank -> (..., n * size) in rank order along `dim`, which every rank then uses alike; its gradient is this
// rank's slice.
at::Tensor gather_from_axis(const at::Tensor& input, Communicator& axis, int64_t dim = -1);

// The same tensor on every rank -> this rank's 1/size of it along `dim`; its gradient is gathered. Throws Error(internal) if
// the axis does not divide the dim.
at::Tensor split_to_axis(const at::Tensor& input, Communicator& axis, int64_t dim = -1);

// Each rank's rows (n, ...) -> all rows (n * size, ...) in rank order, about to be used differently by each; its gradient is this
// rank's rows of the sum.
at::Tensor gather_to_axis(const at::Tensor& input, Communicator& axis);

// This rank's rows of the sum over the axis, (n * size, ...) -> (n, ...); its gradient is gathered. Throws Error(internal) if the
// axis does not divide the rows.
at::Tensor scatter_from_axis(const at::Tensor& input, Communicator& axis);

}  // namespace lacuna
