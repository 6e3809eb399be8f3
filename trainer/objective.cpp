#include "trainer/objective.h"

#include <algorithm>

namespace lacuna {

at::Tensor loss_of_predicted(const Head& head, const at::Tensor& states, const Batch& batch) {
  const auto at = batch.predicted.to(at::kLong);
  const auto picked = states.gather(1, at.unsqueeze(-1).expand({-1, -1, states.size(-1)}));
  return head.loss(picked, batch.targets.gather(1, at), batch.weights.gather(1, at));
}

at::Tensor Objective::logits(Architecture& architecture, const Batch& batch, const Effort&) {
  return architecture.head().logits(architecture.forward(batch).states);
}

double flops_per_token(const Objective& objective, const Architecture& architecture, int64_t length) {
  return architecture.flops_per_token(length) + objective.flops_per_token(architecture, length);
}

std::optional<std::string> misfit(const Needs& needs, const Offers& offers) {
  if (needs.modality != offers.modality) {
    return "the objective works on " + needs.modality + ", the architecture on " + offers.modality;
  }
  if (needs.encoder == EncoderUse::always && !offers.encoder) return "the objective needs an encoder beside the decoder";
  if (needs.encoder == EncoderUse::never && offers.encoder) {
    return "the architecture has an encoder, which the objective gives nothing to read";
  }
  if (offers.encoder) return std::nullopt;  // it reads the encoder's side whole and its own up to each slot
  if (std::find(needs.visibility.begin(), needs.visibility.end(), offers.visibility) == needs.visibility.end()) {
    std::string wanted;
    for (const auto v : needs.visibility) wanted += (wanted.empty() ? "\"" : " or \"") + std::string(name_of(v)) + "\"";
    return "the objective needs visibility = " + wanted + ", the architecture has \"" + std::string(name_of(offers.visibility)) +
           "\"";
  }
  if (needs.candidates && !offers.candidates) {
    return "the objective judges candidates, for which only an energy_decoder has a stream";
  }
  if (needs.withheld_positions && !offers.withholds_positions) {
    return "the objective withholds positions, which only learned ones allow: set position = \"learned\"";
  }
  return std::nullopt;
}

}  // namespace lacuna
