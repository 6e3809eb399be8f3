#include "launch/dry_run.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "data/tokenizer/tokenizer.h"
#include "launch/device.h"
#include "launch/peak.h"
#include "launch/run_facts.h"
#include "trainer/kernels/linear_cross_entropy.h"
#include "trainer/optim/catalog.h"

namespace lacuna {
namespace {

// Resident size of the program after a step of a network of nearly nothing; measured. A build with CUDA loads its libraries even
// where the CPU computes.
#ifdef LACUNA_CUDA
constexpr double kProgramBytes = 480.0 * 1024 * 1024;
#else
constexpr double kProgramBytes = 145.0 * 1024 * 1024;
#endif
// glibc before 2.38 does not reuse a hole for an aligned block of the hole's own size, so what a block frees between the
// activations that it keeps stays empty. Measured from 1.0 (GPT-2 shape, few layers) to 1.5 (relative positions).
constexpr double kHeapHoles = 1.3;
// The loss head's logits at a time (linear_cross_entropy).
constexpr double kLogitChunk = 1 << 21;
// On a GPU: what CUDA, its libraries and their kernels take, measured; and the workspace of products (gemm_cuda.h).
constexpr double kContextBytes = 560.0 * 1024 * 1024, kProductWorkspace = 72.0 * 1024 * 1024;
// More with NCCL and its buffers, of two ranks; measured.
constexpr double kNcclBytes = 1260.0 * 1024 * 1024;

double elements(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), 1.0, [](double a, int64_t b) { return a * static_cast<double>(b); });
}

// Whether a block is one node of fixed kernels or what it is composed of, and why.
std::string describe_blocks(const Experiment& e, const Backends& backends) {
  if (uses_fused_kernels(e) && backends.not_fused.empty()) return "fused blocks";
  const std::string reason = uses_fused_kernels(e)     ? backends.not_fused
                             : e.run.reference_kernels ? "run.reference_kernels"
                                                       : "precision.compute = \"fp32\"";
  return "blocks of ordinary operations (" + reason + ")";
}

double local_parameters(const Network& network) {
  double local = 0;
  for (const auto& parameter : network.parameters) local += static_cast<double>(parameter.value.numel());
  return local;
}

double hidden_size(const Network& network) {
  const auto& table = network.parameters.front().full_shape;
  return elements(table) / static_cast<double>(table[0]);
}

ModelWork work_of(const Experiment& e, const Layout& layout, const Objective& objective, const Network& network) {
  const int64_t element_size = e.precision.compute == Compute::bf16 ? 2 : 4;
  return objective.work(*network.architecture, layout.micro_size, layout.row_length, element_size);
}

MemoryEstimate memory_of_process(const Experiment& e, const Layout& layout, const ModelWork& work, const Network& network,
                                 double columns) {
  const double parameters = 4 * local_parameters(network);
  const double optimizer = parameters / sharding_of(e, layout, 0).ranks * static_cast<double>(find_optimizer(e.optimizer).states);
  const double activations = kHeapHoles * (work.kept_bytes + work.transient_bytes);
  const double rows = static_cast<double>(layout.micro_size * layout.row_length);
  // The loss keeps its weight's gradient until backward adds it, and a chunk of logits.
  const double head = 4 * (hidden_size(network) * columns + std::min(kLogitChunk, rows * columns));
  // While a checkpoint is written, training goes on beside the copy; after the last step the copy takes the activations' place.
  const bool beside = e.checkpoint.every > 0 && e.checkpoint.every < layout.steps;
  const double copy = std::max(0.0, parameters + optimizer - (beside ? 0.0 : activations));
  return {{{"program", kProgramBytes},
           {"parameters", parameters},
           {"gradients", parameters},
           {"optimizer", optimizer},
           {"activations", activations},
           {"head", head},
           {"checkpoint copy", copy}}};
}

MemoryEstimate memory_of_gpu(const Experiment& e, const Layout& layout, const ModelWork& work, const Network& network,
                             double columns) {
  const bool bf16 = e.precision.compute == Compute::bf16;
  const double local = local_parameters(network), element_size = bf16 ? 2 : 4;
  const double owned = local / sharding_of(e, layout, 0).ranks;
  double attention = 0;  // cuDNN sums the queries' gradient in fp32; in a fixed order over more
  for (const auto& a : work.attention) {
    const double queries = static_cast<double>(a.rows * a.length * a.num_heads);
    attention = std::max(attention, 4 * queries * static_cast<double>(a.head_size + 1) +
                                        (e.run.deterministic ? 2 * queries * static_cast<double>(a.length) : 0));
  }
  const double rows = std::min<double>(static_cast<double>(layout.micro_size * layout.row_length), kLogitRowsOfDevice);
  // A chunk of logits has gone when backward is at its widest.
  const double weight_gradient = 4 * hidden_size(network) * columns;
  const double logits = element_size * rows * columns;
  return {{{"CUDA and libraries", kContextBytes + (layout.world > 1 ? kNcclBytes : 0)},
           {"workspaces", kProductWorkspace + (bf16 ? attention : 0)},
           {"parameters", element_size * local},
           {"masters", bf16 ? 4 * owned : 0},
           {"gradients", 4 * local},
           {"optimizer", 4 * owned * static_cast<double>(find_optimizer(e.optimizer).states)},
           {"activations", work.kept_bytes + work.transient_bytes},
           {"head", weight_gradient + std::max(0.0, logits - work.transient_bytes)}}};
}

std::string milliseconds(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f ms", 1e3 * seconds);
  return text;
}

std::string products_of(const Experiment& e) {
  if (e.precision.compute == Compute::bf16) return "of bf16, summed in fp32 (cuBLAS may not reduce in bf16)";
  return e.precision.tf32 ? "of fp32 in TF32 (precision.tf32)" : "of fp32 in fp32 (TF32 off)";
}

// What rows are made of.
std::string material(const Experiment& e, const Layout& layout, const SampleSpec& v) {
  const auto count = [](int64_t value) { return format_count(static_cast<double>(value)); };
  if (v.tokenizer)
    return count(v.vocabulary_size) + " (" + v.tokenizer->name() + "), padded to " + count(padded_vocabulary(v.vocabulary_size));
  const auto grid = *grid_of(e, v.frames);
  return count(v.frames.bins) + " bins, " + count(grid.frames) + " frames a row in " + count(layout.row_length) + " patches of " +
         count(grid.patch_bins) + " x " + count(grid.patch_frames);
}

}  // namespace

double MemoryEstimate::total() const {
  return std::accumulate(parts.begin(), parts.end(), 0.0, [](double sum, const auto& part) { return sum + part.second; });
}

double MemoryEstimate::operator[](const std::string& part) const {
  for (const auto& [name, bytes] : parts) {
    if (name == part) return bytes;
  }
  return 0;
}

MemoryEstimate estimate_memory(const Experiment& e, const Layout& layout, const Objective& objective, const Network& network,
                               const SampleSpec& samples) {
  const double columns = static_cast<double>(padded_vocabulary(samples.vocabulary_size)) / layout.tensor;
  const auto work = work_of(e, layout, objective, network);
  return layout.device == at::kCPU ? memory_of_process(e, layout, work, network, columns)
                                   : memory_of_gpu(e, layout, work, network, columns);
}

CostInput cost_of(const Experiment& e, const Layout& layout, const Objective& objective, const Network& network) {
  const double local = local_parameters(network);
  const auto sharding = sharding_of(e, layout, 0);
  return {.work = work_of(e, layout, objective, network),
          .bf16 = e.precision.compute == Compute::bf16,
          .tf32 = e.precision.tf32,
          .micro_batches = static_cast<double>(layout.rows_per_rank / layout.micro_size),
          .local_parameters = local,
          .own_parameters = local / sharding.ranks,
          .bucket_bytes = 4 * static_cast<double>(sharding.bucket_elements),
          .shard_optimizer = sharding.ranks > 1,
          .data = layout.data,
          .tensor = layout.tensor};
}

Table describe_run(const Experiment& e, const Layout& layout, const Objective& objective, const Network& network,
                   const SampleSpec& samples) {
  const auto parameters = static_cast<double>(count_parameters(network));
  const auto memory = estimate_memory(e, layout, objective, network, samples);
  const auto backends = network.architecture->backends(layout.micro_size, layout.row_length, e.data.document_mask);
  const double flops = flops_per_token(objective, *network.architecture, layout.row_length);
  const auto count = [](int64_t value) { return format_count(static_cast<double>(value)); };
  const bool on_gpu = layout.device != at::kCPU;
  Table table{
      {"run", e.run.out + "/" + e.run.name},
      {"objective", std::string(find_objective(e.objective).name)},
      {"architecture", std::string(find_architecture(e.architecture).name)},
      {"parameters", format_count(parameters)},
      {samples.tokenizer ? "vocabulary" : "frames", material(e, layout, samples)},
      {"ranks",
       std::to_string(layout.world) + " = data " + std::to_string(layout.data) + " x tensor " + std::to_string(layout.tensor)},
      {"optimizer's state", !e.parallel.shard_optimizer ? "whole on every data rank"
                            : layout.data > 1           ? "1/" + std::to_string(layout.data) + " on each data rank"
                                                        : "whole: parallel.shard_optimizer has one data rank alone"},
      {"device", std::string(on_gpu ? "cuda" : "cpu") + ", " + std::string(name_of(e.precision.compute)) +
                     (on_gpu ? ", " + describe_blocks(e, backends) : "") +
                     (on_gpu && !has_gpu() ? "; this machine has none" : "")},
      {"attention", backends.attention},
      {"step", count(e.batch.global_size) + " rows x " + count(layout.row_length) + " = " + count(layout.tokens_per_step) +
                   (samples.tokenizer ? " tokens, " : " patches, ") + count(layout.rows_per_rank / layout.micro_size) +
                   " micro-batches of " + count(layout.micro_size) + " rows a rank"},
      {"steps", count(layout.steps) + " = " + count(layout.steps * layout.tokens_per_step) + " tokens"},
      {"FLOPs per token", format_count(flops)},
      {"FLOPs in all", format_count(flops * static_cast<double>(layout.steps * layout.tokens_per_step))},
  };
  if (on_gpu) table.emplace_back("products", products_of(e));
  table.emplace_back(on_gpu ? "memory of a GPU" : "memory of a rank", format_bytes(memory.total()));
  for (const auto& [name, bytes] : memory.parts) table.emplace_back("  " + name, format_bytes(bytes));
  return table;
}

Table describe_cost(const Experiment& e, const Layout& layout, const Objective& objective, const Network& network,
                    const MachineRates& rates) {
  const auto cost = predict(cost_of(e, layout, objective, network), rates);
  const double seconds = cost.total(), tokens = static_cast<double>(layout.tokens_per_step) / seconds;
  const double flops = tokens * flops_per_token(objective, *network.architecture, layout.row_length) / layout.world;
  const auto promised = promised_flops(rates.gpu, e.precision);
  Table table{{"predicted step", milliseconds(seconds) + " on " + std::to_string(layout.world) + " x " + rates.gpu},
              {"  products", milliseconds(cost.products)},
              {"  attention", milliseconds(cost.attention)},
              {"  other kernels", milliseconds(cost.passes)},
              {"  launches", milliseconds(cost.launches)},
              {"  optimizer", milliseconds(cost.optimizer)},
              {"  communication", milliseconds(cost.communication()) + " that nothing hides"},
              {"  rates", rates.measured},
              {"tokens a second", format_count(tokens)},
              {"model FLOP/s of a GPU",
               format_count(flops) + (promised ? ", MFU " + format_share(flops / *promised) + " of " + format_count(*promised)
                                               : ", MFU unknown: so is the peak of this GPU")}};
  for (const auto& axis : cost.traffic) {
    table.emplace_back(axis.name + " axis", std::to_string(axis.ranks) + " ranks: each GPU sends " + format_bytes(axis.bytes) +
                                                " a step in " + format_count(axis.messages) + " messages, " +
                                                milliseconds(axis.seconds) + ", of which " + milliseconds(axis.hidden) +
                                                " hidden");
  }
  return table;
}

}  // namespace lacuna
