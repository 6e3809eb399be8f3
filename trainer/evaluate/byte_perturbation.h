// How much worse a network continues a text whose beginning has typing errors (Neitemeier et al. 2025, section 5): bits per byte
// of the second half of a piece of validation text, behind its first half as it is and behind the first half perturbed
// (data/perturbation.h). The second half stays the same, to the byte, so the difference is the perturbation's; it is counted in
// bytes, so networks with different tokenizers compare.
//
// A piece is as long as a row, and half as long where tokens are not bytes, since perturbed text then has more of them.
#pragma once
#include "trainer/evaluate/evaluation.h"

namespace lacuna {

class BytePerturbationEvaluation : public Evaluation {
 public:
  std::optional<std::string> misfit(const EvaluationPlan& plan) const override;
  // {"task", "bits_per_byte": clean, "delta_KIND": more of them at a rate of 0.1, "slope_KIND": more of them per rate, by least
  // squares through 0, of swap, replace and delete, "slope": their mean, "delta_capitals", "rows", "bytes": of second halves};
  // "slices": {"rate": {RATE: {"delta_KIND"}}}.
  std::vector<nlohmann::ordered_json> run(const EvaluationContext& context) const override;
};

}  // namespace lacuna
