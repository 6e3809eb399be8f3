// From hidden states to the vocabulary. Objectives see a loss or, for generation, logits; in training logits are never stored.
#pragma once
#include <torch/nn/module.h>

#include "trainer/model/operations.h"
#include "trainer/model/parameters.h"
#include "trainer/parallel/mesh.h"

namespace lacuna {

// Rows of an embedding or head are padded so that every tensor axis up to this size divides them.
constexpr int64_t kVocabularyAlignment = 128;
int64_t padded_vocabulary(int64_t vocabulary_size);

class Head : public torch::nn::Module {
 public:
  // `weight`: this rank's rows of (padded V, D), shared with the embedding where tied.
  Head(Communicator& tensor_axis, at::Tensor weight, int64_t vocabulary_size, const Operations& operations = kernel_operations());

  // Sum over positions of weight * -log p(target); padded ids have no probability.
  // states (..., D); targets (...) int32; weights (...) float32. Returns a scalar, the same on every tensor rank. z_loss: as
  // kernels/linear_cross_entropy.h has it.
  at::Tensor loss(const at::Tensor& states, const at::Tensor& targets, const at::Tensor& weights, double z_loss = 0) const;

  // Mixtures of the table's rows: probabilities (..., V), the same on every tensor rank -> (..., D), likewise. Twice
  // differentiable, by the table too, whose gradient is an ordinary one.
  at::Tensor mixtures(const at::Tensor& probabilities) const;

  // (..., V) of the real vocabulary, whole on every tensor rank.
  at::Tensor logits(const at::Tensor& states) const;

 private:
  Communicator& axis_;
  const Operations& operations_;
  at::Tensor weight_;
  int64_t vocabulary_size_;
};

}  // namespace lacuna
