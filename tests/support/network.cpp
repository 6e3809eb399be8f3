#include "tests/support/network.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros_like.h>

#include <stdexcept>

#include "data/random.h"

namespace lacuna::testing {

at::Tensor find_parameter(const std::vector<ParameterSpec>& parameters, const std::string& name) {
  for (const auto& p : parameters) {
    if (p.name == name) return p.value;
  }
  throw std::invalid_argument("the network has no parameter " + name);
}

void draw_large_values(const std::vector<ParameterSpec>& parameters, Mesh& mesh, uint64_t seed) {
  auto drawn = parameters;
  for (auto& p : drawn) {
    p.deviation = 0.15;
    p.initial = InitialValues::normal;
  }
  initialize(drawn, seed, mesh.tensor().rank(), mesh.tensor().size());
  const torch::NoGradGuard no_grad;
  for (const auto& p : parameters) {
    if (p.initial == InitialValues::ones) p.value.add_(1);
  }
}

void Network::keep_gradients() {
  for (auto& p : parameters) p.value.mutable_grad() = at::zeros_like(p.value);
}

std::unique_ptr<Network> make_network(const DecoderOptions& options, Mesh& mesh, int64_t vocabulary_size, int64_t max_length,
                                      uint64_t seed, const Execution& execution) {
  auto network = std::make_unique<Network>();
  const ModelContext context{.mesh = mesh,
                             .parameters = network->table,
                             .vocabulary_size = vocabulary_size,
                             .max_length = max_length,
                             .seed = seed,
                             .operations = execution.operations,
                             .fused = execution.fused,
                             .recompute = execution.recompute};
  network->decoder = std::make_unique<Decoder>(options, context);
  network->parameters = network->table.list(*network->decoder);
  draw_large_values(network->parameters, mesh, seed);
  return network;
}

DecoderOptions gpt2_shape() {
  return {.num_layers = 2,
          .hidden_size = 32,
          .num_heads = 4,
          .num_kv_heads = 4,
          .feed_forward_size = 48,
          .norm = NormKind::layer_norm,
          .norm_epsilon = 1e-5,
          .position = PositionKind::learned,
          .activation = Activation::gelu_tanh,
          .bias = BiasKind::all,
          .tied_embedding = true};
}

DecoderOptions llama_shape() {
  return {.num_layers = 2,
          .hidden_size = 32,
          .num_heads = 4,
          .num_kv_heads = 2,
          .feed_forward_size = 40,
          .norm = NormKind::rms_norm,
          .norm_epsilon = 1e-6,
          .position = PositionKind::rotary,
          .activation = Activation::swiglu,
          .bias = BiasKind::none,
          .tied_embedding = false};
}

Batch random_batch(int64_t rows, int64_t length, int64_t vocabulary_size, uint64_t seed) {
  Random random(seed, 0);
  Batch batch;
  batch.tokens = at::empty({rows, length}, at::kInt);
  batch.targets = at::empty({rows, length}, at::kInt);
  auto *token = batch.tokens.data_ptr<int32_t>(), *target = batch.targets.data_ptr<int32_t>();
  for (int64_t i = 0; i < rows * length; ++i) {
    token[i] = static_cast<int32_t>(random.below(vocabulary_size));
    target[i] = static_cast<int32_t>(random.below(vocabulary_size));
  }
  batch.weights = at::ones({rows, length}, at::kFloat);
  batch.stream_positions = at::arange(rows, at::kLong);
  batch.target_count = static_cast<double>(rows * length);
  return batch;
}

at::Tensor slice_of(const at::Tensor& full, const ParameterSpec& parameter, int rank, int size) {
  if (parameter.partition_dim < 0) return full;
  const int64_t count = full.size(parameter.partition_dim) / size;
  return full.narrow(parameter.partition_dim, rank * count, count);
}

double relative_error(const at::Tensor& actual, const at::Tensor& expected) {
  const auto wanted = expected.detach().to(at::kDouble);
  const double size = at::norm(wanted).item<double>(),
               difference = at::norm(actual.detach().to(at::kDouble) - wanted).item<double>();
  return size > 0 ? difference / size : difference;
}

}  // namespace lacuna::testing
