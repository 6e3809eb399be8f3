#include "trainer/model/parallel_linear.h"

#include "trainer/kernels/linear.h"
#include "trainer/parallel/collectives.h"

namespace lacuna {

ColumnParallelLinear::ColumnParallelLinear(const ModelContext& context, int64_t in, int64_t out, bool bias, double deviation) {
  const int parts = context.mesh.tensor().size();
  weight_ = context.parameters.declare(*this, "weight", {out, in}, 0, parts, InitialValues::normal, deviation);
  if (bias) bias_ = context.parameters.declare(*this, "bias", {out}, 0, parts, InitialValues::zeros);
}

at::Tensor ColumnParallelLinear::forward(const at::Tensor& x) const { return lacuna::linear(x, weight_, bias_); }

RowParallelLinear::RowParallelLinear(const ModelContext& context, int64_t in, int64_t out, bool bias, double deviation)
    : axis_(context.mesh.tensor()) {
  weight_ = context.parameters.declare(*this, "weight", {out, in}, 1, axis_.size(), InitialValues::normal, deviation);
  if (bias) bias_ = context.parameters.declare(*this, "bias", {out}, -1, axis_.size(), InitialValues::zeros);
}

at::Tensor RowParallelLinear::forward(const at::Tensor& x) const {
  if (axis_.size() == 1) return lacuna::linear(x, weight_, bias_);
  const auto sum = reduce_from_axis(lacuna::linear(x, weight_, {}), axis_);
  return bias_.defined() ? sum + bias_ : sum;  // once, not once per rank
}

}  // namespace lacuna
