#include "trainer/kernels/packed_attention.h"

#include "data/error.h"

namespace lacuna {

at::Tensor packed_attention(const at::Tensor&, const PackedAttentionShape&, at::Tensor&) {
  throw Error(ExitCode::internal, "packed attention needs a GPU");
}

at::Tensor packed_attention_gradient(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                     const PackedAttentionShape&) {
  throw Error(ExitCode::internal, "packed attention needs a GPU");
}

}  // namespace lacuna
