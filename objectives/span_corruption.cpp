#include "objectives/span_corruption.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include "data/error.h"
#include "objectives/documents.h"
#include "objectives/source_loss.h"
#include "trainer/kernels/linear_cross_entropy.h"
#include "trainer/model/two_sided.h"

namespace lacuna {

SpanCorruption::SpanCorruption(const Options& options, const RowContext& context) : options_(options), context_(context) {
  plan_ = context.encoder ? plan_for_inputs(context.length, options.noise_density, options.mean_span)
                          : plan_for_row(context.length, options.noise_density, options.mean_span);
  if (plan_.raw == 0) {
    throw usage_error("[batch] sequence_length = " + std::to_string(context.length) +
                      " holds no stretch with a masked span; use 8 or more");
  }
  if (plan_.spans > options.num_sentinels) {
    throw usage_error("[objective] num_sentinels = " + std::to_string(options.num_sentinels) + ", but rows of " +
                      std::to_string(context.length) + " have " + std::to_string(plan_.spans) + " spans; raise it to that");
  }
  for (int64_t k = 0; k < options.num_sentinels; ++k) {
    sentinels_.push_back(static_cast<int32_t>(context.tokenizer_size + options.num_sentinels - k));
  }
}

Batch SpanCorruption::prepare(std::span<const Sample> samples, const Random& random) const {
  const auto rows = static_cast<int64_t>(samples.size());
  const int64_t inputs = plan_.input_length(), targets = plan_.target_length();
  const int64_t skipped = context_.encoder ? 0 : inputs;  // slots of a decoder's row before its targets
  const int64_t length = context_.encoder ? targets : context_.length;
  Batch batch;
  batch.tokens = at::full({rows, length}, pad(), at::kInt);
  batch.targets = at::full({rows, length}, pad(), at::kInt);
  batch.weights = at::zeros({rows, length}, at::kFloat);
  if (context_.encoder) batch.encoder_tokens = at::empty({rows, inputs}, at::kInt);
  auto *token = batch.tokens.data_ptr<int32_t>(), *target = batch.targets.data_ptr<int32_t>();
  auto* weight = batch.weights.data_ptr<float>();
  int64_t row = 0;
  for (const auto& sample : samples) {
    const auto pair = corrupt_spans({sample.tokens.data(), static_cast<size_t>(plan_.raw)}, plan_, sentinels_, context_.end_token,
                                    random.fork(static_cast<uint64_t>(sample.position)));
    if (context_.encoder) {
      std::copy(pair.inputs.begin(), pair.inputs.end(), batch.encoder_tokens.data_ptr<int32_t>() + row * inputs);
    } else {
      std::copy(pair.inputs.begin(), pair.inputs.end(), target);
    }
    std::copy(pair.targets.begin(), pair.targets.end(), target + skipped);
    std::copy_n(target, skipped + targets - 1, token + 1);  // each slot holds what the one before it predicted
    std::fill_n(weight + skipped, targets, 1.0f);
    token += length, target += length, weight += length, ++row;
  }
  if (!context_.encoder && context_.visibility == Visibility::prefix) {
    // The pad token at the start and the inputs; the last of these slots predicts the first target.
    batch.bidirectional = at::zeros({rows, length}, at::kBool);
    batch.bidirectional.narrow(1, 0, inputs + 1).fill_(true);
  }
  batch.target_count = static_cast<double>(rows * targets);
  batch.stream_positions = stream_positions(samples);
  return batch;
}

void SpanCorruption::build(const ModelContext&, const Architecture& architecture) { check_source_loss(0, architecture); }

double SpanCorruption::flops_per_token(const Architecture& architecture, int64_t length) const {
  const auto positions = static_cast<double>(length), targets = static_cast<double>(plan_.target_length());
  if (const auto* sides = dynamic_cast<const TwoSided*>(&architecture)) {
    return sides->flops_of_row(plan_.input_length(), plan_.target_length()) / positions - architecture.flops_per_token(length);
  }
  const auto head = static_cast<double>(architecture.hidden_size() *
                                        padded_vocabulary(context_.tokenizer_size + needs().num_special_tokens));
  return -6 * head * (1 - targets / positions);
}

Loss SpanCorruption::loss(Architecture& architecture, const Batch& batch) {
  const auto states = architecture.forward(batch).states;
  if (context_.encoder) return {.sum = architecture.head().loss(states, batch.targets, batch.weights), .metrics = {}};
  const int64_t first = plan_.input_length(), count = plan_.target_length();  // the head reads no other state
  const auto part = [&](const at::Tensor& t) { return t.narrow(1, first, count); };
  return {.sum = architecture.head().loss(part(states), part(batch.targets), part(batch.weights)), .metrics = {}};
}

}  // namespace lacuna
