// Rows of a table, with the gradient accumulated straight into the flat gradient buffer, in token order.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

// weight (rows, D) holds the rows [first, first + rows) of the whole table; ids (...) int32 outside of them give zeros.
// Returns (..., D). Gradients as in linear.h.
at::Tensor embedding(const at::Tensor& ids, const at::Tensor& weight, int64_t first = 0);

// The same composed of ATen operations, with ordinary gradients: the oracle.
at::Tensor embedding_reference(const at::Tensor& ids, const at::Tensor& weight, int64_t first);

// The same without autograd, for fixed sequences of kernels; the table fp32 or bf16, ids (..., T) int32 or uint16. With a
// position_table (num_positions, D), the row of each position is added: 0..T-1, or positions (..., T) int32, where one outside of
// the table gives NaN on a device and an error on the CPU. Where several ranks share the vocabulary, one alone adds positions.
at::Tensor embed(const at::Tensor& ids, const at::Tensor& table, int64_t first = 0, const at::Tensor& position_table = {},
                 const at::Tensor& positions = {}, at::Tensor out = {});

// Adds the rows of d_out (..., D), fp32 or bf16, to the rows of the float32 gradient (rows, D) that the ids name; the order of
// the additions does not change from run to run. Serves a position table too, with the positions as ids.
void add_embedding_gradient(const at::Tensor& ids, const at::Tensor& d_out, const at::Tensor& gradient, int64_t first = 0);

// The same for positions 0..T-1: the first T rows of gradient (num_positions, D) += the sum over the batch of d_out (B, T, D).
void add_position_gradient(const at::Tensor& d_out, const at::Tensor& gradient);

}  // namespace lacuna
