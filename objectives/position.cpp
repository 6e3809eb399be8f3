#include "objectives/position.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "data/error.h"
#include "objectives/corruption.h"
#include "objectives/documents.h"
#include "trainer/model/frozen_context.h"

namespace lacuna {

Position::Position(const Options& options, const RowContext& context) : options_(options), context_(context) {
  if (context.grid) return;
  if (options.drop > 0 || options.eta > 0 || options.context != Context::live || options.smoothing > 0 ||
      options.reweight_temperature > 0) {
    throw usage_error(
        "[objective] drop, eta, context, smoothing and reweight_temperature are for patches; leave them out on text");
  }
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
  return context_.grid ? place_patches(samples, *context_.grid, options_, context_.rows_per_step, random)
                       : prepare_tokens(samples, random);
}

Batch Position::prepare_tokens(std::span<const Sample> samples, const Random& random) const {
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
  if (context_.grid && options_.withheld >= 1 && architecture.offers().withholds_positions) {
    throw usage_error(
        "[objective] withheld = 1 (MP3's form) asks a network that is told no positions, and this one tells them to every patch: "
        "set "
        "architecture.position = \"none\", or withhold fewer");
  }
  if (options_.context == Context::frozen && dynamic_cast<const FrozenContext*>(&architecture) == nullptr) {
    throw usage_error(
        "[objective] context = \"frozen\" needs a network whose blocks can attend to its embeddings, which patch_encoder is; use "
        "it, "
        "or \"live\"");
  }
  const auto weight = context.parameters.declare(*this, "places", {padded_vocabulary(places()), architecture.hidden_size()}, -1,
                                                 1, InitialValues::normal);
  head_ = std::make_shared<Head>(alone_, weight, places(), context.operations);
}

Loss Position::loss(Architecture& architecture, const Batch& batch) {
  const bool frozen = options_.context == Context::frozen;
  const auto states =
      (frozen ? dynamic_cast<FrozenContext&>(architecture).forward_on_embeddings(batch) : architecture.forward(batch)).states;
  return context_.grid ? loss_on_patches(states, batch, /*judged=*/!architecture.is_training())
                       : Loss{.sum = loss_of_predicted(*head_, states, batch), .metrics = {}};
}

Loss Position::loss_on_patches(const at::Tensor& states, const Batch& batch, bool judged) const {
  const auto at = batch.predicted.to(at::kLong);
  const auto picked = states.gather(1, at.unsqueeze(-1).expand({-1, -1, states.size(-1)}));
  const auto targets = batch.targets.gather(1, at).to(at::kLong), counted = batch.weights.gather(1, at);
  const auto logits = head_->logits(picked).to(at::kFloat), chances = logits.log_softmax(-1);
  const auto losses = batch.value_targets.defined() ? -(batch.value_targets * chances).sum(-1)
                                                    : -chances.gather(-1, targets.unsqueeze(-1)).squeeze(-1);
  auto weights = counted;
  if (options_.reweight_temperature > 0) weights = resemblance(picked, states, batch, counted, options_.reweight_temperature);
  const auto correct = logits.detach().argmax(-1).eq(targets).to(at::kFloat);
  Loss loss{.sum = (weights * losses).sum(), .metrics = {{"accuracy", (counted * correct).sum()}}};
  if (judged) {
    const auto values = batch.values.gather(1, at.unsqueeze(-1).expand({-1, -1, batch.values.size(-1)}));
    loss.metrics.emplace_back("oracle", findable(values, counted).sum());
  }
  return loss;
}

double Position::flops_per_token(const Architecture& architecture, int64_t length) const {
  if (!context_.grid) return 0;
  const auto all = static_cast<double>(length), read = all - std::floor(options_.drop * all);
  const double head = 6 * static_cast<double>(architecture.hidden_size()) * static_cast<double>(padded_vocabulary(length));
  // What is left out of a row costs nothing, which the architecture's count of a whole row does not know.
  const double spared = options_.drop > 0 ? architecture.flops_per_token(length) -
                                                architecture.flops_per_token(static_cast<int64_t>(read)) * read / all
                                          : 0;
  return head * options_.withheld * read / all - spared;
}

}  // namespace lacuna
