// What a network says of whole recordings and pictures: rows of patches that nothing is hidden of, and states pooled over them.
#pragma once
#include "trainer/evaluate/labelled_frames.h"

namespace lacuna {

// Rows of uncorrupted patches, one per sample, on the context's device.
Batch whole_rows(const EvaluationContext& context, const std::vector<const Sample*>& samples);

// The mean over the patches of each row that are no padding: states (B, T, D) -> (B, D).
at::Tensor pooled(const at::Tensor& states, const Batch& batch);

// Of each layer, the input of the first one included, the mean state of each document: (layers + 1, N, D) float64 on the host.
// Where the network does not tell its layers, the last one's alone. Collective; whole on every rank.
at::Tensor document_states(const EvaluationContext& context, const Documents& documents);

// Without a network: mean and deviation of each value of a frame over a document, (1, N, 2 F) float64.
at::Tensor document_features(const Documents& documents, int64_t frame_size);

}  // namespace lacuna
