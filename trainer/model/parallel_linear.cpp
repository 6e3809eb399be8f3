#include "trainer/model/parallel_linear.h"

#include "data/error.h"

namespace lacuna {

namespace {

// Neighbours in memory as one tensor with all their rows.
at::Tensor side_by_side(const std::vector<at::Tensor>& parts) {
  auto shape = parts.front().sizes().vec();
  shape[0] = 0;
  for (const auto& part : parts) {
    const auto& first = parts.front();
    const int64_t expected = first.storage_offset() + shape[0] * first.stride(0);
    if (!part.is_alias_of(first) || part.storage_offset() != expected) {
      throw Error(ExitCode::internal, "weights that one product reads do not lie side by side in flat storage");
    }
    shape[0] += part.size(0);
  }
  return parts.front().as_strided(shape, parts.front().strides());
}

std::vector<at::Tensor> gradients_of(const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> gradients;
  for (const auto& p : parameters) gradients.push_back(p.grad());
  return gradients;
}

}  // namespace

ColumnParallelLinears::ColumnParallelLinears(torch::nn::Module& owner, const ModelContext& context, int64_t in,
                                             const std::vector<Output>& outputs, bool bias, double deviation)
    : operations_(context.operations) {
  const int parts = context.mesh.tensor().size();
  std::vector<std::shared_ptr<torch::nn::Module>> modules;
  for (const auto& output : outputs) {
    modules.push_back(owner.register_module(output.name, std::make_shared<torch::nn::Module>()));
    weights_.push_back(context.parameters.declare(*modules.back(), "weight", {output.size, in}, 0, parts, InitialValues::normal,
                                                  deviation));
  }
  for (size_t i = 0; bias && i < outputs.size(); ++i) {
    biases_.push_back(context.parameters.declare(*modules[i], "bias", {outputs[i].size}, 0, parts, InitialValues::zeros));
  }
}

at::Tensor ColumnParallelLinears::forward(size_t output, const at::Tensor& x) const {
  return operations_.linear(x, weights_[output], biases_.empty() ? at::Tensor() : biases_[output]);
}

AffineWeights ColumnParallelLinears::packed() const {
  AffineWeights w{.weight = side_by_side(weights_), .bias = {}, .weight_gradient = side_by_side(gradients_of(weights_)),
                  .bias_gradient = {}};
  if (!biases_.empty()) {
    w.bias = side_by_side(biases_);
    w.bias_gradient = side_by_side(gradients_of(biases_));
  }
  return w;
}

std::vector<at::Tensor> ColumnParallelLinears::parameters() const {
  auto all = weights_;
  all.insert(all.end(), biases_.begin(), biases_.end());
  return all;
}

RowParallelLinear::RowParallelLinear(const ModelContext& context, int64_t in, int64_t out, bool bias, double deviation)
    : operations_(context.operations) {
  const int parts = context.mesh.tensor().size();
  weight_ = context.parameters.declare(*this, "weight", {out, in}, 1, parts, InitialValues::normal, deviation);
  if (bias) bias_ = context.parameters.declare(*this, "bias", {out}, -1, parts, InitialValues::zeros);
}

at::Tensor RowParallelLinear::forward(const at::Tensor& x, const StreamLayout& stream) const {
  if (stream.axis->size() == 1) return operations_.linear(x, weight_, bias_);
  const auto sum = stream.leave(operations_.linear(x, weight_, {}));
  return bias_.defined() ? sum + bias_ : sum;  // once, not once per rank
}

AffineWeights RowParallelLinear::weights() const {
  return {.weight = weight_,
          .bias = bias_,
          .weight_gradient = weight_.grad(),
          .bias_gradient = bias_.defined() ? bias_.grad() : at::Tensor()};
}

std::vector<at::Tensor> RowParallelLinear::parameters() const {
  return bias_.defined() ? std::vector{weight_, bias_} : std::vector{weight_};
}

std::vector<at::Tensor> joined(std::initializer_list<std::vector<at::Tensor>> lists) {
  std::vector<at::Tensor> all;
  for (const auto& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

}  // namespace lacuna
