// Rows of a table, with the gradient accumulated straight into the flat gradient buffer, in token order.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

// weight (rows, D) holds the rows [first, first + rows) of the whole table; ids (...) int32 outside of them give zeros.
// Returns (..., D). Gradients as in linear.h.
at::Tensor embedding(const at::Tensor& ids, const at::Tensor& weight, int64_t first = 0);

}  // namespace lacuna
