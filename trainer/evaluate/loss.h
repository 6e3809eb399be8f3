// The objective's own loss on rows of the validation corpora: the same rows whatever the layout.
#pragma once
#include "trainer/evaluate/evaluation.h"

namespace lacuna {

class LossEvaluation : public Evaluation {
 public:
  std::optional<std::string> misfit(const EvaluationPlan& plan) const override;
  std::vector<nlohmann::ordered_json> run(const EvaluationContext& context) const override;
};

}  // namespace lacuna
