// The network that is judged, lent out to be something else for a while: with initial values, or trained on labels. Its own
// values come back, bit for bit, with the object's end. No gradient buffer, random number or mode of training is touched.
#pragma once
#include "trainer/evaluate/frame_states.h"

namespace lacuna {

class BorrowedNetwork {
 public:
  // Throws Error(internal) where the context does not have the network's parameters.
  explicit BorrowedNetwork(const EvaluationContext& context);
  ~BorrowedNetwork();
  BorrowedNetwork(const BorrowedNetwork&) = delete;
  BorrowedNetwork& operator=(const BorrowedNetwork&) = delete;

  void restore();             // the judged network's values
  void reset(uint64_t seed);  // initial ones
  // Trains all of it, and a linear map of the pooled last states, on the documents' labels by options.probe; returns the classes
  // (M) int64 that it then gives to `test`. A document of several windows is as many rows, whose logits are averaged. Dropout is
  // off. Every data rank does the same.
  at::Tensor train_and_tell(const Documents& fit, const Documents& test, int64_t classes, uint64_t seed);

 private:
  at::Tensor logits(const std::vector<const Sample*>& samples) const;
  const EvaluationContext& context_;
  std::vector<at::Tensor> own_;  // values of the judged network
  at::Tensor weight_, bias_;     // (D, classes), (classes)
};

}  // namespace lacuna
