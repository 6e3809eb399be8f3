#include "launch/dry_run.h"

#include <functional>
#include <numeric>

#include "data/tokenizer/tokenizer.h"
#include "trainer/optim/catalog.h"

namespace lacuna {
namespace {

// Resident size of the program with LibTorch, MPI and HDF5 loaded and nothing allocated; measured.
constexpr double kProgramBytes = 190.0 * 1024 * 1024;

double elements(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), 1.0, [](double a, int64_t b) { return a * static_cast<double>(b); });
}

}  // namespace

MemoryEstimate estimate_memory(const Experiment& e, const Layout& layout, const Network& network, const Vocabulary& vocabulary) {
  double local = 0;
  for (const auto& parameter : network.parameters) local += static_cast<double>(parameter.value.numel());
  MemoryEstimate m;
  m.program = kProgramBytes;
  m.parameters = m.gradients = 4 * local;
  m.optimizer = 4 * local * static_cast<double>(find_optimizer(e.optimizer).states);
  m.activations = network.architecture->activation_bytes(layout.micro_size, e.batch.sequence_length);
  // The loss keeps its weight's gradient until backward adds it, and a chunk of logits.
  const double hidden =
      elements(network.parameters.front().full_shape) / static_cast<double>(network.parameters.front().full_shape[0]);
  m.head = 4 * hidden * static_cast<double>(padded_vocabulary(vocabulary.size)) / layout.tensor + (8 << 20);
  m.checkpoint_copy = m.parameters + m.optimizer;
  return m;
}

Table describe_run(const Experiment& e, const Layout& layout, const Network& network, const Vocabulary& vocabulary) {
  double parameters = 0;
  for (const auto& parameter : network.parameters) parameters += elements(parameter.full_shape);
  const auto memory = estimate_memory(e, layout, network, vocabulary);
  const double flops = network.architecture->flops_per_token(e.batch.sequence_length);
  const auto count = [](int64_t value) { return format_count(static_cast<double>(value)); };
  return {
      {"run", e.run.out + "/" + e.run.name},
      {"objective", std::string(find_objective(e.objective).name)},
      {"architecture", std::string(find_architecture(e.architecture).name)},
      {"parameters", format_count(parameters)},
      {"vocabulary", count(vocabulary.size) + " (" + vocabulary.tokenizer->name() + "), padded to " +
                         count(padded_vocabulary(vocabulary.size))},
      {"ranks",
       std::to_string(layout.world) + " = data " + std::to_string(layout.data) + " x tensor " + std::to_string(layout.tensor)},
      {"device", "cpu, " + std::string(name_of(e.precision.compute))},
      {"step", count(e.batch.global_size) + " rows x " + count(e.batch.sequence_length) + " = " + count(layout.tokens_per_step) +
                   " tokens, " + count(layout.rows_per_rank / layout.micro_size) + " micro-batches of " +
                   count(layout.micro_size) + " rows a rank"},
      {"steps", count(layout.steps) + " = " + count(layout.steps * layout.tokens_per_step) + " tokens"},
      {"FLOPs per token", format_count(flops)},
      {"FLOPs in all", format_count(flops * static_cast<double>(layout.steps * layout.tokens_per_step))},
      {"memory of a rank", format_bytes(memory.total())},
      {"  program", format_bytes(memory.program)},
      {"  parameters", format_bytes(memory.parameters)},
      {"  gradients", format_bytes(memory.gradients)},
      {"  optimizer", format_bytes(memory.optimizer)},
      {"  activations", format_bytes(memory.activations)},
      {"  head", format_bytes(memory.head)},
      {"  checkpoint copy", format_bytes(memory.checkpoint_copy)},
  };
}

}  // namespace lacuna
