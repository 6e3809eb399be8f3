// Questions over several documents (data/tasks/documents_qa.h). Beside the exact match of the value, "substring_match": whether
// what the network writes holds the answer, both in lower case and without articles and punctuation (Liu et al. 2024,
// section 2.3). "depth" is the highest exact match of the five places less the lowest.
#pragma once
#include "trainer/evaluate/task_evaluation.h"

namespace lacuna {

// Lower case, without punctuation and the words a, an and the; single spaces (the SQuAD rule).
std::string normalized_answer(std::string_view text);

class DocumentsQaEvaluation : public TaskEvaluation {
 public:
  DocumentsQaEvaluation() : TaskEvaluation("documents_qa", {{"size", "gold"}}) {}

 protected:
  void extend(const Answerer& answerer, const EvaluationContext& context, std::span<const Example> examples,
              std::vector<Outcome>& outcomes) const override;
  void conclude(nlohmann::ordered_json& line) const override;
};

}  // namespace lacuna
