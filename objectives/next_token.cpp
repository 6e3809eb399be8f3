#include "objectives/next_token.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>

#include "data/error.h"
#include "objectives/documents.h"

namespace lacuna {

NextToken::NextToken(const Options& options, const RowContext& context) : options_(options), context_(context) {}

Batch NextToken::prepare(std::span<const Sample> samples, const Random&) const {
  auto batch = rows(samples, context_);
  if (options_.loss_on == LossOn::response) {
    need_responses(samples);
    weigh_responses(batch, samples);
  }
  return batch;
}

Batch NextToken::prepare_clean(std::span<const Sample> samples, const Random&) const {
  auto batch = rows(samples, context_);
  if (options_.loss_on == LossOn::response) weigh_responses(batch, samples);
  return batch;
}

void NextToken::need_responses(std::span<const Sample> samples) {
  for (const auto& sample : samples) {
    if (sample.responses.empty()) {
      throw data_error("a row does not tell which of its tokens are responses; make its corpus with lacuna prepare --prompts");
    }
  }
}

void NextToken::weigh_responses(Batch& batch, std::span<const Sample> samples) {
  auto* weight = batch.weights.data_ptr<float>();
  const int64_t length = batch.length();
  for (const auto& sample : samples) {
    for (int64_t t = 0; t < length && !sample.responses.empty(); ++t) {
      if (sample.responses[static_cast<size_t>(t + 1)] != 0) continue;
      weight[t] = 0;
      --batch.target_count;
    }
    weight += length;
  }
}

Batch NextToken::rows(std::span<const Sample> samples, const RowContext& context) {
  const auto rows = static_cast<int64_t>(samples.size()), length = context.length;
  Batch batch;
  batch.tokens = at::empty({rows, length}, at::kInt);
  batch.targets = at::empty({rows, length}, at::kInt);
  batch.weights = at::ones({rows, length}, at::kFloat);
  auto *token = batch.tokens.data_ptr<int32_t>(), *target = batch.targets.data_ptr<int32_t>();
  for (const auto& sample : samples) {
    token = std::copy_n(sample.tokens.data(), length, token);
    target = std::copy_n(sample.tokens.data() + 1, length, target);
  }
  batch.target_count = static_cast<double>(rows * length);
  batch.stream_positions = stream_positions(samples);
  if (context.document_mask) add_documents(batch, samples);
  return batch;
}

Loss NextToken::loss_of_rows(Architecture& architecture, const Batch& batch, double z_loss) {
  const auto hidden = architecture.forward(batch);
  return {.sum = architecture.head().loss(hidden.states, batch.targets, batch.weights, z_loss), .metrics = {}};
}

Loss NextToken::loss(Architecture& architecture, const Batch& batch) { return loss_of_rows(architecture, batch, options_.z_loss); }

}  // namespace lacuna
