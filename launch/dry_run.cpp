#include "launch/dry_run.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "data/tokenizer/tokenizer.h"
#include "trainer/optim/catalog.h"

namespace lacuna {
namespace {

// Resident size of the program after a step of a network of nearly nothing; measured.
constexpr double kProgramBytes = 145.0 * 1024 * 1024;
// glibc before 2.38 does not reuse a hole for an aligned block of the hole's own size, so what a block frees between the
// activations that it keeps stays empty. Measured from 1.0 (GPT-2 shape, few layers) to 1.5 (relative positions).
constexpr double kHeapHoles = 1.3;
// The loss head's logits at a time (linear_cross_entropy).
constexpr double kLogitChunk = 1 << 21;

double elements(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), 1.0, [](double a, int64_t b) { return a * static_cast<double>(b); });
}

// Whether a block is one node of fixed kernels or what it is composed of, and why.
std::string describe_blocks(const Experiment& e, const Backends& backends) {
  if (uses_fused_kernels(e) && backends.not_fused.empty()) return "fused blocks";
  const std::string reason = uses_fused_kernels(e)      ? backends.not_fused
                             : e.run.reference_kernels ? "run.reference_kernels"
                                                       : "precision.compute = \"fp32\"";
  return "blocks of ordinary operations (" + reason + ")";
}

}  // namespace

MemoryEstimate estimate_memory(const Experiment& e, const Layout& layout, const Network& network, const Vocabulary& vocabulary) {
  double local = 0;
  for (const auto& parameter : network.parameters) local += static_cast<double>(parameter.value.numel());
  MemoryEstimate m;
  m.program = kProgramBytes;
  m.parameters = m.gradients = 4 * local;
  const double owned = e.parallel.shard_optimizer ? local / layout.data : local;
  m.optimizer = 4 * owned * static_cast<double>(find_optimizer(e.optimizer).states);
  const double rows = static_cast<double>(layout.micro_size * e.batch.sequence_length);
  m.activations = kHeapHoles * network.architecture->activation_bytes(layout.micro_size, e.batch.sequence_length);
  // The loss keeps its weight's gradient until backward adds it, and a chunk of logits.
  const double hidden =
      elements(network.parameters.front().full_shape) / static_cast<double>(network.parameters.front().full_shape[0]);
  const double columns = static_cast<double>(padded_vocabulary(vocabulary.size)) / layout.tensor;
  m.head = 4 * (hidden * columns + std::min(kLogitChunk, rows * columns));
  // While a checkpoint is written, training goes on beside the copy; after the last step the copy takes the activations' place.
  const bool beside = e.checkpoint.every > 0 && e.checkpoint.every < layout.steps;
  m.checkpoint_copy = std::max(0.0, m.parameters + m.optimizer - (beside ? 0.0 : m.activations));
  return m;
}

Table describe_run(const Experiment& e, const Layout& layout, const Network& network, const Vocabulary& vocabulary) {
  double parameters = 0;
  for (const auto& parameter : network.parameters) parameters += elements(parameter.full_shape);
  const auto memory = estimate_memory(e, layout, network, vocabulary);
  const auto backends = network.architecture->backends(layout.micro_size, e.batch.sequence_length, e.data.document_mask);
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
      {"optimizer's state", !e.parallel.shard_optimizer ? "whole on every data rank"
                            : layout.data > 1           ? "1/" + std::to_string(layout.data) + " on each data rank"
                                                        : "whole: parallel.shard_optimizer has one data rank alone"},
      {"device", std::string(layout.device == at::kCPU ? "cpu" : "cuda") + ", " + std::string(name_of(e.precision.compute)) +
                     (layout.device == at::kCPU ? "" : ", " + describe_blocks(e, backends))},
      {"attention", backends.attention},
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
