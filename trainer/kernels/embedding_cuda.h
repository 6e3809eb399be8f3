// The device side of embedding.h.
#pragma once
#include <cstddef>

#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

// Ids on the device, int32 or uint16.
struct Ids {
  const void* data;
  bool is_uint16;
};

struct EmbeddingForward {
  int64_t rows, width;         // of out
  Ids ids;                     // (rows)
  int64_t first, table_rows;   // the table holds the rows [first, first + table_rows); other ids count as a row of zeros
  const void* table;           // (table_rows, width)
  const void* position_table;  // (num_positions, width), or null; added
  const int32_t* positions;    // (rows), or null: row n stands at n % length
  int64_t num_positions, length;
  void* out;
};
void embedding(const EmbeddingForward& arguments, Element element, cudaStream_t stream);

struct EmbeddingBackward {
  int64_t rows, width;
  Ids ids;
  int64_t first, table_rows;
  const void* d_out;  // (rows, width)
  float* d_table;     // (table_rows, width), added to
  void* workspace;
  size_t workspace_size;
};
// Rows of one id are added in the order in which they stand, in pieces of fixed bounds: the result is the same in every run.
void embedding_backward(const EmbeddingBackward& arguments, Element element, cudaStream_t stream);
size_t embedding_backward_workspace(int64_t rows, int64_t width, int64_t table_rows);  // bytes

// d_table (length, width) += the sum over `batch` of d_out (batch, length, width).
void position_backward(const void* d_out, float* d_table, int64_t batch, int64_t length, int64_t width, Element element,
                       cudaStream_t stream);

}  // namespace lacuna::cuda
