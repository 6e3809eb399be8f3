// Where documents lie in a micro-batch, as a list: what attention that takes each document by itself reads.
#pragma once
#include <ATen/core/Tensor.h>

namespace lacuna {

// Of segments (B, T) int32 on the host, as Batch::segments says, the list that Batch::documents says: (N + 1) int32, the place at
// which each run of one segment within a row begins, places being counted through all rows, and then B T as often as it takes.
// Padding counts as a document. N is a power of two and at least 4 B, so that most batches of a run have the same.
at::Tensor document_starts(const at::Tensor& segments);

// That N of most batches of so many rows.
int64_t usual_documents(int64_t rows);

// The same list with entries for `room` - 1 documents, at least its own number.
at::Tensor with_room(const at::Tensor& starts, int64_t room);

}  // namespace lacuna
