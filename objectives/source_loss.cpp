#include "objectives/source_loss.h"

#include <ATen/ops/ones.h>

#include "data/error.h"
#include "trainer/model/two_sided.h"

namespace lacuna {

void check_source_loss(double weight, const Architecture& architecture) {
  const auto* sides = dynamic_cast<const TwoSided*>(&architecture);
  if (weight > 0 && sides == nullptr) {
    throw usage_error(
        "objective.source_loss is for networks with an encoder; set it to 0, or architecture.kind = \"encoder_decoder\"");
  }
  if (weight > 0 && !sides->source_is_causal()) {
    throw usage_error(
        "objective.source_loss asks each source token for the next one, which the encoder sees; set "
        "architecture.causal_encoder = true");
  }
  if (weight == 0 && sides != nullptr && sides->source_needs_loss()) {
    throw usage_error(
        "with architecture.coordinated_layers the encoder's last layer learns from a loss on the source or as a layer "
        "of the decoder: set objective.source_loss of prefix_language, or architecture.shared_sides = true");
  }
}

void add_source_loss(Loss& loss, const Head& head, const at::Tensor& source_states, const Batch& batch, double weight) {
  const int64_t count = batch.encoder_tokens.size(1) - 1;
  auto weights = at::ones({batch.rows(), count}, batch.weights.options());
  if (batch.encoder_segments.defined()) {
    const auto next = batch.encoder_segments.narrow(1, 1, count);
    weights = next.eq(batch.encoder_segments.narrow(1, 0, count)).logical_and(next.ne(0)).to(at::kFloat);
  }
  const auto sum = head.loss(source_states.narrow(1, 0, count), batch.encoder_tokens.narrow(1, 1, count), weights);
  loss.sum = loss.sum + weight * (sum - sum.detach());
  // Metrics are divided by the number of targets.
  loss.metrics.emplace_back("source_loss", sum.detach() * (batch.weights.sum() / weights.sum().clamp_min(1)));
}

}  // namespace lacuna
