#include "trainer/model/operations.h"

#include <ATen/ops/linear.h>

#include "trainer/kernels/embedding.h"
#include "trainer/kernels/linear.h"
#include "trainer/kernels/linear_cross_entropy.h"

namespace lacuna {
namespace {

at::Tensor aten_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::linear(x, weight, bias.defined() ? std::optional(bias) : std::nullopt);
}

at::Tensor chunked_cross_entropy(const at::Tensor& states, const at::Tensor& weight, const at::Tensor& targets,
                                 const at::Tensor& weights, int64_t vocabulary_size, Communicator& axis, double z_loss) {
  return linear_cross_entropy(states, weight, targets, weights, vocabulary_size, axis, z_loss);
}

}  // namespace

const Operations& kernel_operations() {
  static constexpr Operations kOperations{
      .linear = linear, .embedding = embedding, .patch_stem = patch_stem, .linear_cross_entropy = chunked_cross_entropy};
  return kOperations;
}

const Operations& reference_operations() {
  static constexpr Operations kOperations{.linear = aten_linear,
                                          .embedding = embedding_reference,
                                          .patch_stem = patch_stem_reference,
                                          .linear_cross_entropy = linear_cross_entropy_reference};
  return kOperations;
}

}  // namespace lacuna
