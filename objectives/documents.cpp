#include "objectives/documents.h"

#include <ATen/ops/empty.h>

#include "data/documents.h"

namespace lacuna {

at::Tensor stream_positions(std::span<const Sample> samples) {
  auto positions = at::empty({static_cast<int64_t>(samples.size())}, at::kLong);
  auto* out = positions.data_ptr<int64_t>();
  for (const auto& sample : samples) *out++ = sample.position;
  return positions;
}

void add_documents(Batch& batch, std::span<const Sample> samples) {
  const int64_t length = batch.length();
  batch.segments = at::empty({batch.rows(), length}, at::kInt);
  batch.positions = at::empty({batch.rows(), length}, at::kInt);
  auto *segment = batch.segments.data_ptr<int32_t>(), *position = batch.positions.data_ptr<int32_t>();
  for (const auto& sample : samples) {
    int32_t document = 1, place = 0;
    auto start = sample.document_starts.begin();
    for (int32_t t = 0; t < length; ++t, ++place) {
      if (start != sample.document_starts.end() && *start == t) {
        if (t > 0) ++document;
        place = 0;
        ++start;
      }
      *segment++ = document;
      *position++ = place;
    }
  }
  batch.documents = document_starts(batch.segments);
}

}  // namespace lacuna
