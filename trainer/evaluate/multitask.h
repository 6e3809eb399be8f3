// Many families of small questions (data/tasks/families.h), answered by choosing. For families seen in training and for those
// held out: the mean over families of the median over wordings ("median_seen", "median_held_out"; the custom of T0), and the mean
// over families with the one wording that reads like text ("text_seen", "text_held_out"; as language models are judged).
#pragma once
#include "trainer/evaluate/task_evaluation.h"

namespace lacuna {

class MultitaskEvaluation : public TaskEvaluation {
 public:
  MultitaskEvaluation() : TaskEvaluation("multitask", {{"kind", "family", "template"}}) {}

 protected:
  void conclude(nlohmann::ordered_json& line) const override;
};

}  // namespace lacuna
