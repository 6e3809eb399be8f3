// What longer thinking brings an objective that searches for its predictions (EBT; Gladstone et al. 2025, section 4.3): after 1 to 8
// steps of the search, and of the best of 1 and of 4 searches by its own measure, a line each of the validation rows' loss and of the
// tasks dyck and modular_arithmetic, whose longer half (slice "beyond") training has not. Rows, questions and noise are the same in
// all of them, whatever the layout.
#pragma once
#include "trainer/evaluate/evaluation.h"

namespace lacuna {

class ThinkingEvaluation : public Evaluation {
 public:
  std::optional<std::string> misfit(const EvaluationPlan& plan) const override;
  // {"task": "thinking", "of", "steps", "samples"} and "loss", "perplexity", "gain" of "validation", else the task's own figures.
  // "gain" is by how much of it the perplexity of one search of one step falls. Throws a usage error where the objective does not
  // think.
  std::vector<nlohmann::ordered_json> run(const EvaluationContext& context) const override;
};

}  // namespace lacuna
