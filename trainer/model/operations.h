// The operations of a network that have weights, twice: as kernels that add gradients to flat storage themselves, and as plain
// compositions of ATen's under autograd, which are the oracle of the kernels. A ModelContext says which; layers call what it
// says.
#pragma once
#include <ATen/core/Tensor.h>

#include "trainer/kernels/patch_stem.h"
#include "trainer/parallel/communicator.h"

namespace lacuna {

struct Operations {
  // As in kernels/linear.h, embedding.h, patch_stem.h and linear_cross_entropy.h.
  at::Tensor (*linear)(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
  at::Tensor (*embedding)(const at::Tensor& ids, const at::Tensor& table, int64_t first);
  at::Tensor (*patch_stem)(const at::Tensor& patches, const at::Tensor& masked, const PatchStem& weights);
  at::Tensor (*linear_cross_entropy)(const at::Tensor& states, const at::Tensor& weight, const at::Tensor& targets,
                                     const at::Tensor& weights, int64_t vocabulary_size, Communicator& axis, double z_loss);
};

const Operations& kernel_operations();
const Operations& reference_operations();

}  // namespace lacuna
