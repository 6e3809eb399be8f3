// How much of its attention a network leaves on the source by the time it has read many targets (lambda of Fu et al. 2023:
// "attention degeneration"). Validation rows are cut behind their first eighth, which is the source; what follows are targets,
// given to the network as they are. At the place that has read n of them, the share of a query's probability that falls on the
// source is averaged over heads, the attentions of a layer, layers and rows. A decoder has one attention over both a layer, with
// partial attention another that sees the source alone; an encoder_decoder has one over targets and one over the source, or a
// joint one.
#pragma once
#include "trainer/evaluate/evaluation.h"

namespace lacuna {

class SourceAttentionEvaluation : public Evaluation {
 public:
  std::optional<std::string> misfit(const EvaluationPlan& plan) const override;
  // "mass" at the last target; the same of each kind of attention alone, "self" and "source"; slices by "targets" and by "layer".
  std::vector<nlohmann::ordered_json> run(const EvaluationContext& context) const override;
};

}  // namespace lacuna
