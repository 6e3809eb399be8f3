// The sum over the tensor axis of the gradients of parameters that all its ranks hold whole, such as norms and the biases behind
// row-parallel products, where each rank has seen only its share of the positions (model/stream_layout.h). They are few and
// small: one message a step, after the last micro-batch.
#pragma once
#include <vector>

#include "trainer/model/flat_storage.h"
#include "trainer/parallel/communicator.h"

namespace lacuna {

class SharedGradients {
 public:
  // Of what this rank owns of them; `tensor_axis` must outlive this object.
  SharedGradients(const FlatStorage& storage, Communicator& tensor_axis);
  // In place in the flat gradients, once the data axis has summed them.
  void sum();

 private:
  Communicator& axis_;
  std::vector<at::Tensor> views_;  // of the flat gradients
  std::vector<int64_t> counts_;
};

}  // namespace lacuna
