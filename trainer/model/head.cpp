#include "trainer/model/head.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>

#include "trainer/parallel/collectives.h"

namespace lacuna {

int64_t padded_vocabulary(int64_t vocabulary_size) {
  return (vocabulary_size + kVocabularyAlignment - 1) / kVocabularyAlignment * kVocabularyAlignment;
}

Head::Head(Communicator& tensor_axis, at::Tensor weight, int64_t vocabulary_size, const Operations& operations)
    : axis_(tensor_axis), operations_(operations), weight_(std::move(weight)), vocabulary_size_(vocabulary_size) {}

at::Tensor Head::loss(const at::Tensor& states, const at::Tensor& targets, const at::Tensor& weights, double z_loss) const {
  const auto flat = copy_to_axis(states, axis_).reshape({-1, states.size(-1)});
  return operations_.linear_cross_entropy(flat, weight_, targets.reshape(-1), weights.reshape(-1), vocabulary_size_, axis_,
                                          z_loss);
}

at::Tensor Head::mixtures(const at::Tensor& probabilities) const {
  const int64_t padding = weight_.size(0) * axis_.size() - vocabulary_size_;
  const auto padded = at::constant_pad_nd(probabilities, {0, padding}).to(weight_.scalar_type());
  return reduce_from_axis(at::matmul(split_to_axis(padded, axis_), weight_), axis_);
}

at::Tensor Head::logits(const at::Tensor& states) const {
  const auto logits = gather_from_axis(at::linear(copy_to_axis(states, axis_), weight_), axis_);
  return logits.narrow(-1, 0, vocabulary_size_).to(at::promote_types(logits.scalar_type(), at::kFloat));
}

}  // namespace lacuna
