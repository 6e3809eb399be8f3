// An energy objective on its decoder with their parameters at hand, small enough to be tried in every way.
#pragma once
#include <ATen/ops/arange.h>

#include <memory>
#include <string>
#include <vector>

#include "objectives/energy.h"
#include "tests/support/network.h"
#include "trainer/model/energy_decoder.h"

namespace lacuna::testing {

struct EnergySize {
  int64_t vocabulary_size = 7, length = 5, rows_per_step = 4;
  EnergyDecoderOptions decoder{.num_layers = 2, .hidden_size = 8, .num_heads = 2, .feed_forward_size = 8};
};

struct EnergyNetwork {
  ParameterTable table;
  std::unique_ptr<Energy> objective;
  std::unique_ptr<EnergyDecoder> decoder;
  std::vector<ParameterSpec> parameters;

  at::Tensor operator[](const std::string& name) const { return find_parameter(parameters, name); }
  // The loss's gradient by every parameter, which stays in place for the next call to replace.
  double backward(const Batch& batch) {
    for (auto& p : parameters) p.value.mutable_grad() = at::Tensor();
    const auto sum = objective->loss(*decoder, batch).sum;
    sum.backward();
    return sum.item<double>();
  }
  double loss(const Batch& batch) { return objective->loss(*decoder, batch).sum.item<double>(); }
};

// Values are drawn anew, large enough that every parameter matters; alpha has its own. They depend on the seed and on names, not on
// the mesh.
inline std::unique_ptr<EnergyNetwork> make_energy_network(const EnergyOptions& options, Mesh& mesh, const EnergySize& size = {},
                                                          at::ScalarType type = at::kFloat) {
  auto network = std::make_unique<EnergyNetwork>();
  network->objective = std::make_unique<Energy>(
      options, RowContext{.length = size.length, .tokenizer_size = size.vocabulary_size, .rows_per_step = size.rows_per_step});
  const ModelContext context{.mesh = mesh,
                             .parameters = network->table,
                             .vocabulary_size = size.vocabulary_size,
                             .max_length = size.length,
                             .seed = 11};
  network->decoder = std::make_unique<EnergyDecoder>(size.decoder, context);
  network->objective->build(context, *network->decoder);
  network->parameters = network->table.list(*network->decoder);
  for (auto& p : network->table.list(*network->objective)) {
    p.name = "objective." + p.name;
    network->parameters.push_back(std::move(p));
  }
  for (auto& p : network->parameters) {
    if (p.initial == InitialValues::normal) p.deviation = 0.4;
  }
  initialize(network->parameters, 7, mesh.tensor().rank(), mesh.tensor().size());
  if (type != at::kFloat) {
    network->decoder->to(type);
    network->objective->to(type);
  }
  return network;
}

// Rows of a stretch of text as the objective makes them, of the run's step `step` (from 0).
inline Batch energy_batch(const Energy& objective, const EnergySize& size, int64_t step = 0) {
  std::vector<Sample> samples;
  for (int64_t row = 0; row < size.rows_per_step; ++row) {
    Sample s{.position = step * size.rows_per_step + row, .tokens = {}, .document_starts = {0}};
    Random random(3, static_cast<uint64_t>(s.position));
    for (int64_t i = 0; i <= size.length; ++i) s.tokens.push_back(static_cast<int32_t>(random.below(size.vocabulary_size)));
    samples.push_back(std::move(s));
  }
  return objective.prepare(samples, Random(1, 2));
}

// Rows [first, first + count) of a batch, and what it keeps and replays of them.
inline Batch rows_of(const Batch& whole, int64_t first, int64_t count) {
  Batch part = whole;
  for (at::Tensor* field : part.tensors()) {
    if (field->defined() && field != &part.kept && field != &part.replayed) *field = field->narrow(0, first, count).contiguous();
  }
  if (whole.kept.defined()) {
    const auto here = whole.kept.ge(first).logical_and(whole.kept.lt(first + count));
    part.kept = whole.kept.masked_select(here) - first;
    if (whole.replayed.defined()) part.replayed = whole.replayed.masked_select(here);
  }
  return part;
}

}  // namespace lacuna::testing
