// Retrieval from a dictionary (data/tasks/key_value.h): by how many pairs there are and where the one asked for stands.
#pragma once
#include "trainer/evaluate/task_evaluation.h"

namespace lacuna {

class KeyValueEvaluation : public TaskEvaluation {
 public:
  KeyValueEvaluation() : TaskEvaluation("key_value", {{"size", "gold"}}) {}

 protected:
  void conclude(nlohmann::ordered_json& line) const override { line["lost_in_the_middle"] = middle_loss(line, "exact_match"); }
};

}  // namespace lacuna
