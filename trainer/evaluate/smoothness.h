// How much the states of neighbouring tokens resemble one another: the mean cosine of h_t and h_{t+j}, j = 1 to 16, of what the
// head reads, on validation rows. Raw, and after the mean of all states is subtracted, since states that share a direction
// resemble one another whatever they say; and both for the same rows with their tokens shuffled.
#pragma once
#include "trainer/evaluate/evaluation.h"

namespace lacuna {

class SmoothnessEvaluation : public Evaluation {
 public:
  std::optional<std::string> misfit(const EvaluationPlan& plan) const override;
  std::vector<nlohmann::ordered_json> run(const EvaluationContext& context) const override;
};

}  // namespace lacuna
