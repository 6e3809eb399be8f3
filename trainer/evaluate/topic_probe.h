// Whether what a text is about can be read off the network's states: a logistic probe on the mean and on the last of the states
// of a text. With several validation corpora the topics are those corpora, else they are the synthetic ones of
// data/tasks/topics.h. The probe is fitted to half of the texts, with the states scaled to unit variance, and judged on the other
// half.
//
// One line per arm: "pretrained" reads states ("accuracy": the mean, "accuracy_last": the last one); "features" reads how often
// each token occurs instead, which is what the words alone give. Where the network writes, the pretrained arm also says for how
// many texts that it goes on with the probe finds the topic again ("coherence").
#pragma once
#include "trainer/evaluate/evaluation.h"

namespace lacuna {

class TopicProbeEvaluation : public Evaluation {
 public:
  std::optional<std::string> misfit(const EvaluationPlan& plan) const override;
  std::vector<nlohmann::ordered_json> run(const EvaluationContext& context) const override;
};

// Multinomial logistic regression with an L2 penalty, by full-batch gradient descent with momentum; float64, on the host.
class LogisticProbe {
 public:
  // features (N, F), labels (N) int64 in [0, classes).
  LogisticProbe(const at::Tensor& features, const at::Tensor& labels, int64_t classes);
  at::Tensor predict(const at::Tensor& features) const;  // (N) int64

 private:
  at::Tensor scaled(const at::Tensor& features) const;
  at::Tensor mean_, deviation_, weight_, bias_;
};

}  // namespace lacuna
