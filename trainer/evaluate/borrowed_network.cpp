#include "trainer/evaluate/borrowed_network.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nll_loss.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "data/error.h"
#include "data/sampler.h"
#include "trainer/evaluate/answerer.h"
#include "trainer/evaluate/readout.h"

namespace lacuna {

BorrowedNetwork::BorrowedNetwork(const EvaluationContext& context) : context_(context) {
  if (!context.parameters) throw Error(ExitCode::internal, "the evaluation does not know the network's parameters");
  for (const auto& parameter : *context.parameters) own_.push_back(parameter.value.detach().clone());
}

BorrowedNetwork::~BorrowedNetwork() { restore(); }

void BorrowedNetwork::restore() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < own_.size(); ++i) (*context_.parameters)[i].value.copy_(own_[i]);
}

void BorrowedNetwork::reset(uint64_t seed) {
  auto specs = *context_.parameters;
  for (auto& spec : specs) spec.masters.clear();  // training's; the values alone are lent
  initialize(specs, seed, context_.mesh.tensor().rank(), context_.mesh.tensor().size());
}

at::Tensor BorrowedNetwork::logits(const std::vector<const Sample*>& samples) const {
  const auto batch = whole_rows(context_, samples);
  const auto states = context_.architecture.forward(batch).states;
  return pooled(states, batch).to(at::kFloat).matmul(weight_) + bias_;
}

at::Tensor BorrowedNetwork::train_and_tell(const Documents& fit, const Documents& test, int64_t classes, uint64_t seed) {
  const Judging judging(context_.architecture);
  const auto& options = context_.options.probe;
  const auto on_device = at::TensorOptions().dtype(at::kFloat).device(context_.device);
  weight_ = at::zeros({context_.architecture.hidden_size(), classes}, on_device).set_requires_grad(true);
  bias_ = at::zeros({classes}, on_device).set_requires_grad(true);
  // The network computes with its own tensors; fp32 copies of them take the steps.
  std::vector<at::Tensor> values, masters;
  for (const auto& parameter : context_.architecture.parameters()) {
    values.push_back(parameter);
    masters.push_back(parameter.detach().to(at::kFloat, false, /*copy=*/true));
  }
  masters.insert(masters.end(), {weight_, bias_});
  auto inputs = values;
  inputs.insert(inputs.end(), {weight_, bias_});
  SmallAdam adam(masters, options.learning_rate);

  std::vector<const Sample*> rows;
  std::vector<int64_t> labels;
  for (const auto* document : fit) {
    for (const auto& sample : document->samples) {
      rows.push_back(&sample);
      labels.push_back(document->label);
    }
  }
  const auto size = static_cast<int64_t>(rows.size()), step_rows = std::min(options.rows, size);
  const int64_t steps = (size * options.epochs + step_rows - 1) / step_rows;
  const auto order = Random(seed, 0).fork("training on labels");
  for (int64_t step = 0; step < steps; ++step) {
    std::vector<const Sample*> samples;
    std::vector<int64_t> wanted;
    for (int64_t i = step * step_rows; i < (step + 1) * step_rows; ++i) {
      const auto at = static_cast<size_t>(permuted(i % size, size, order.fork(static_cast<uint64_t>(i / size))));
      samples.push_back(rows[at]);
      wanted.push_back(labels[at]);
    }
    std::vector<at::Tensor> gradients;
    {
      const at::AutoGradMode with_graph(true);
      const auto loss = at::nll_loss(at::log_softmax(logits(samples), 1), at::tensor(wanted, at::kLong).to(context_.device));
      gradients = torch::autograd::grad({loss}, inputs, {}, std::nullopt, false, /*allow_unused=*/true);
    }
    for (auto& gradient : gradients) {
      if (gradient.defined()) gradient = gradient.to(at::kFloat);
    }
    adam.step(gradients);
    for (size_t i = 0; i < values.size(); ++i) values[i].copy_(masters[i]);
    if (context_.alive) context_.alive();
  }

  std::vector<int64_t> told;
  for (const auto* document : test) {
    std::vector<const Sample*> samples;
    for (const auto& sample : document->samples) samples.push_back(&sample);
    told.push_back(logits(samples).mean(0).argmax(0).item<int64_t>());
  }
  return at::tensor(told, at::kLong);
}

}  // namespace lacuna
