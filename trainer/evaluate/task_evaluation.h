// An evaluation by a generated task (data/tasks): its test examples are answered and scored, whole and in slices.
//
// Of a task in words: "exact_match", whether greedy writing gives the answer, and "accuracy", whether the answer is the likeliest
// of the choices. Of a task in tokens: "accuracy", the share of asked slots whose likeliest token is right. Baselines, each
// fitted to as many training examples: "majority", the answer that is most frequent there, "unigram" and "bigram" models.
#pragma once
#include <span>

#include "data/tasks/task.h"
#include "trainer/evaluate/answerer.h"
#include "trainer/evaluate/evaluation.h"
#include "trainer/evaluate/scores.h"

namespace lacuna {

class TaskEvaluation : public Evaluation {
 public:
  // `crossed`: slices that also get a table by all of them together.
  explicit TaskEvaluation(std::string_view task, std::vector<std::vector<std::string>> crossed = {})
      : task_(task), crossed_(std::move(crossed)) {}
  std::optional<std::string> misfit(const EvaluationPlan& plan) const override;
  std::vector<nlohmann::ordered_json> run(const EvaluationContext& context) const override;

 protected:
  // Figures that this task has beside the common ones; collective. `outcomes` may be added to.
  virtual void extend(const Answerer& /*answerer*/, const EvaluationContext& /*context*/, std::span<const Example> /*examples*/,
                      std::vector<Outcome>& /*outcomes*/) const {}
  virtual void conclude(nlohmann::ordered_json& /*line*/) const {}

 private:
  std::string task_;
  std::vector<std::vector<std::string>> crossed_;
};

// Why greedy answers and scores cannot be had of a network; nothing where they can.
std::optional<std::string> cannot_answer(const EvaluationPlan& plan);

// The task with the sizes and the seed that the options tell; its haystack is of the validation corpora.
std::unique_ptr<Task> task_for(std::string_view name, const EvaluationContext& context);

// Accuracy at the first and the last place, halved, less that in the middle ("lost in the middle"): of the table by "gold".
double middle_loss(const nlohmann::ordered_json& line, const std::string& measure);

}  // namespace lacuna
