// How well labels of recordings and pictures are read off a network, always beside what the same labels give without it. Four of
// them:
//   probe                frozen states, by a linear map ("accuracy"), a hidden layer ("accuracy_mlp") and a learnt sum of layers
//                        ("accuracy_weighted")
//   knn                  frozen states, by the 1, 5 and 20 nearest (cosine)
//   finetune             few labels, labels_per_class a class, drawn `seeds` times alike for all arms
//   leave_one_group_out  linear on frozen states, each group of documents judged by what was fitted to the others
//
// A line per arm. "pretrained": the judged network (in finetune all of it is trained on the labels). "random": the same network
// with initial values, frozen. "features": mean and deviation of each value of a frame over a document, without a network.
// "scratch": the network trained from initial values on the labels alone, for as many epochs. Frozen states are means over the
// patches of a document. Beside accuracy stands Wilson's interval; "confusion" counts documents by their class (lines) and the
// class told (columns).
#pragma once
#include "trainer/evaluate/evaluation.h"

namespace lacuna {

// What the four share.
class FrameEvaluation : public Evaluation {
 public:
  std::optional<std::string> misfit(const EvaluationPlan& plan) const override;
};

class ProbeEvaluation : public FrameEvaluation {
 public:
  std::vector<nlohmann::ordered_json> run(const EvaluationContext& context) const override;
};

class KnnEvaluation : public FrameEvaluation {
 public:
  std::vector<nlohmann::ordered_json> run(const EvaluationContext& context) const override;
};

class FinetuneEvaluation : public FrameEvaluation {
 public:
  std::vector<nlohmann::ordered_json> run(const EvaluationContext& context) const override;
};

class LeaveOneGroupOutEvaluation : public FrameEvaluation {
 public:
  std::optional<std::string> misfit(const EvaluationPlan& plan) const override;
  std::vector<nlohmann::ordered_json> run(const EvaluationContext& context) const override;
};

}  // namespace lacuna
