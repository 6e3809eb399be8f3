// Multiple choice by log-likelihood, by the rules of lm-evaluation-harness, from files of JSON lines (evaluate.choices):
//   {"context": "the sky is", "choices": ["blue", "loud"], "answer": 0}
// `answer` is a place or one of the choices. A space stands between context and choice unless one of them brings white space.
//
// acc: the choice with the highest sum of log p. acc_norm: the highest sum by the choice's characters. acc_bytes: by its bytes of
// UTF-8. acc_mutual_info: the highest sum less that behind an empty context. The first of equal ones is chosen. One line per
// file.
#pragma once
#include "trainer/evaluate/evaluation.h"

namespace lacuna {

struct MultipleChoice {
  std::string context;
  std::vector<std::string> choices;
  int64_t answer = 0;
};
// Throws a data error that names file and line.
std::vector<MultipleChoice> read_choices(const std::string& path, int64_t most);

class ChoicesEvaluation : public Evaluation {
 public:
  std::optional<std::string> misfit(const EvaluationPlan& plan) const override;
  std::vector<nlohmann::ordered_json> run(const EvaluationContext& context) const override;
};

}  // namespace lacuna
