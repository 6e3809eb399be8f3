#include "objectives/future_token.h"

#include <ATen/ops/zeros.h>

#include <cmath>

#include "data/error.h"
#include "objectives/next_token.h"

namespace lacuna {

Batch FutureToken::prepare(std::span<const Sample> samples, const Random&) const {
  auto batch = NextToken::rows(samples, context_);
  const int64_t rows = batch.rows(), length = batch.length(), horizon = options_.horizon;
  batch.future_targets = at::zeros({rows, length, horizon}, at::kInt);
  batch.future_weights = at::zeros({rows, length, horizon}, at::kFloat);
  const auto* target = batch.targets.const_data_ptr<int32_t>();
  const auto* segment = batch.segments.defined() ? batch.segments.const_data_ptr<int32_t>() : nullptr;
  auto* ahead = batch.future_targets.data_ptr<int32_t>();
  auto* weight = batch.future_weights.data_ptr<float>();
  auto* slot = batch.weights.data_ptr<float>();
  double sum = 0;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t t = 0; t < length; ++t, ahead += horizon, weight += horizon) {
      const int64_t here = row * length + t;
      double total = 0;
      for (int64_t k = 0; k < horizon && t + k < length; ++k) {
        // Slot t + k holds the token before the one it predicts; across documents nothing is predicted but the next token.
        if (segment != nullptr && k > 0 && segment[here + k] != segment[here]) break;
        ahead[k] = target[here + k];
        weight[k] =
            t % options_.position_stride == 0 ? static_cast<float>(std::pow(options_.decay, static_cast<double>(k))) : 0.0f;
        total += weight[k];
      }
      slot[here] = static_cast<float>(total);
      sum += total;
    }
  }
  batch.target_count = sum;
  return batch;
}

void FutureToken::build(const ModelContext& context, const Architecture& architecture) {
  if (architecture.hidden_size() % options_.num_heads != 0 || options_.num_heads % context.mesh.tensor().size() != 0) {
    throw usage_error("[objective] num_heads = " + std::to_string(options_.num_heads) +
                      " must divide hidden_size = " + std::to_string(architecture.hidden_size()) +
                      " and be a multiple of parallel.tensor = " + std::to_string(context.mesh.tensor().size()));
  }
  network_ = register_module("network", make_future_network(options_.network, context,
                                                            {.hidden_size = architecture.hidden_size(),
                                                             .num_heads = options_.num_heads,
                                                             .horizon = options_.horizon,
                                                             .num_layers = options_.num_layers,
                                                             .pseudo_length = options_.pseudo_length}));
}

Loss FutureToken::loss(Architecture& architecture, const Batch& batch) {
  const auto states = architecture.forward(batch).states;
  const auto strided = [&](const at::Tensor& t) { return t.slice(1, 0, std::nullopt, options_.position_stride); };
  const auto targets = strided(batch.future_targets), weights = strided(batch.future_weights);
  const auto ahead = network_->forward(strided(states), architecture.embed(targets));
  auto& head = architecture.head();
  Loss loss{.sum = head.loss(ahead, targets, weights), .metrics = {}};
  // Metrics are divided by the count of all offsets; these are means over their own.
  const at::NoGradGuard no_grad;
  for (const int64_t k : {int64_t{0}, options_.horizon - 1}) {
    const auto part = weights.select(2, k);
    const auto sum = head.loss(ahead.select(2, k).detach(), targets.select(2, k).contiguous(), part.contiguous());
    loss.metrics.emplace_back("loss_" + std::to_string(k + 1), sum * (weights.sum() / part.sum().clamp_min(1e-9)));
    if (options_.horizon == 1) break;
  }
  return loss;
}

double FutureToken::flops_per_token(const Architecture& architecture, int64_t length) const {
  const double head =
      static_cast<double>(architecture.hidden_size()) * static_cast<double>(padded_vocabulary(context_.tokenizer_size));
  // The architecture's own count has the head once.
  return 6 * (network_->products(length) + static_cast<double>(options_.horizon) * head) /
             static_cast<double>(options_.position_stride) -
         6 * head;
}

}  // namespace lacuna
