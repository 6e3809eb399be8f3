// Cross-entropy of rows of logits on the device: the loss, and the gradient written where the logits stood.
#pragma once
#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

// Rows of logits whose columns may be one rank's part of the vocabulary.
struct LogitRows {
  void* logits;  // (num_rows, stride), of which `columns` are the row's
  Element element;
  int64_t num_rows, columns, stride;
  int64_t real;            // columns that are no padding; the rest has no probability and gradient 0
  const int32_t* targets;  // (num_rows), of the whole vocabulary
  int64_t first = 0;       // this rank's first column; a row whose target - first is not in [0, real) has no target here
};

// loss = lse - z[target], with smoothing e: lse - (1 - e) z[target] - e * mean(z) (Szegedy et al. 2016). lse: log sum exp of the
// row. The derivative is that of loss + z_loss * lse^2 (Chowdhery et al. 2022, section 5): what is told stays a cross-entropy.
struct SoftmaxOptions {
  float z_loss = 0;
  float smoothing = 0;
};

// On one rank that has every column: loss_rows[i] = weights[i] * loss, and with `gradient` the logits become its derivative, 0
// in the padding. A row of weight 0 gives exact zeros whatever its logits are; in any other, logits that are not finite give a
// loss that is not. Rows whose start and length are multiples of 16 bytes and that fit into the shared memory of a cluster
// (about 450,000 bf16 columns) are read once; others twice. They are taken from the last to the first: the
// last are those that the product that made them left in the cache, the first those that the next product begins with.
void softmax_loss(const LogitRows& rows, const float* weights, float* loss_rows, bool gradient, const SoftmaxOptions& options,
                  cudaStream_t stream);

// The pieces for a vocabulary that is split, as softmax_rows.h defines them.
// parts (num_rows, 3): maximum, sum of exp(z - maximum), logit of the target or 0, over this rank's columns.
void softmax_parts(float* parts, const LogitRows& rows, cudaStream_t stream);
// joined (num_rows, 3) of parts (num_ranks, num_rows, 3).
void combine_softmax_parts(float* joined, const float* parts, int64_t num_ranks, int64_t num_rows, cudaStream_t stream);
// loss_rows[i] = weights[i] * (lse - target logit) of joined parts.
void softmax_loss_rows(float* loss_rows, const float* parts, const float* weights, int64_t num_rows, cudaStream_t stream);
// In place: the logits become the derivative of that and of z_loss * lse^2, 0 in the padding.
void softmax_gradient(const LogitRows& rows, const float* parts, const float* weights, float z_loss, cudaStream_t stream);

// *total += sum of values (count), in double precision and in one fixed order.
void add_sum(double* total, const float* values, int64_t count, cudaStream_t stream);

}  // namespace lacuna::cuda
