#include "objectives/position.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "data/error.h"
#include "objectives/corruption.h"
#include "objectives/documents.h"

namespace lacuna {

Position::Position(const Options& options, const RowContext& context) : options_(options), context_(context) {
  if (options.withheld >= 1) {
    throw usage_error(
        "[objective] withheld = 1 leaves no token its position (MP3's form): a window of a text does not tell where "
        "it starts. Use a share below 1");
  }
  if (context.document_mask) {
    throw usage_error(
        "[data] document_mask = true: documents' bounds would tell positions away; position prediction reads whole rows");
  }
}

Batch Position::prepare(std::span<const Sample> samples, const Random& random) const {
  const auto rows = static_cast<int64_t>(samples.size()), length = context_.length;
  const int64_t count = std::clamp<int64_t>(static_cast<int64_t>(static_cast<double>(length) * options_.withheld), 1, length);
  Batch batch;
  batch.tokens = at::empty({rows, length}, at::kInt);
  batch.targets = at::empty({rows, length}, at::kInt);
  batch.positions = at::empty({rows, length}, at::kInt);
  batch.predicted = at::empty({rows, count}, at::kInt);
  batch.weights = at::zeros({rows, length}, at::kFloat);
  auto *token = batch.tokens.data_ptr<int32_t>(), *target = batch.targets.data_ptr<int32_t>();
  auto *position = batch.positions.data_ptr<int32_t>(), *predicted = batch.predicted.data_ptr<int32_t>();
  auto* weight = batch.weights.data_ptr<float>();
  for (const auto& sample : samples) {
    std::copy_n(sample.tokens.data(), length, token);
    for (int32_t t = 0; t < length; ++t) target[t] = position[t] = t;
    const auto withheld = choose(length, count, random.fork(static_cast<uint64_t>(sample.position)));
    for (const int32_t t : withheld) {
      position[t] = static_cast<int32_t>(length);  // the table's row behind the places
      weight[t] = 1;
    }
    predicted = std::copy(withheld.begin(), withheld.end(), predicted);
    token += length, target += length, position += length, weight += length;
  }
  batch.target_count = static_cast<double>(rows * count);
  batch.stream_positions = stream_positions(samples);
  return batch;
}

void Position::build(const ModelContext& context, const Architecture& architecture) {
  const auto weight = context.parameters.declare(
      *this, "places", {padded_vocabulary(context_.length), architecture.hidden_size()}, -1, 1, InitialValues::normal);
  head_ = std::make_shared<Head>(alone_, weight, context_.length, context.operations);
}

Loss Position::loss(Architecture& architecture, const Batch& batch) {
  return {.sum = loss_of_predicted(*head_, architecture.forward(batch).states, batch), .metrics = {}};
}

}  // namespace lacuna
