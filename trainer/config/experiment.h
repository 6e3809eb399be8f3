// An experiment as its TOML file says it: one member per section. [objective], [architecture], [optimizer] and [schedule] stay
// unread here, since their keys depend on their kind; the catalogs read them.
#pragma once
#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "trainer/config/describe.h"
#include "trainer/config/probe_options.h"
#include "trainer/config/section.h"
#include "trainer/config/recompute.h"

namespace lacuna {

enum class DeviceChoice { automatic, cpu, cuda };
constexpr std::array<std::string_view, 3> names_of(DeviceChoice) { return {"auto", "cpu", "cuda"}; }
enum class Compute { fp32, bf16 };
constexpr std::array<std::string_view, 2> names_of(Compute) { return {"fp32", "bf16"}; }

struct RunOptions {
  std::string name = "run";
  std::string out = "runs";
  int64_t seed = 1;
  int64_t steps = 0;
  int64_t tokens = 0;
  int64_t stop_after = 0;
  std::string start_from;
  DeviceChoice device = DeviceChoice::automatic;
  bool deterministic = false;
  bool cuda_graphs = true;
  bool reference_kernels = false;
  bool tensorboard = true;
  std::vector<int64_t> profile;
  int64_t threads = 0;
  double watchdog = 600;
  std::string fault;
};
template <class Visitor>
void describe(Visitor& visit, RunOptions& o) {
  visit("name", o.name, "the run's folder is out/name");
  visit("out", o.out, "folder of runs, relative to the current folder");
  visit("seed", o.seed, "of initial values, sampling order and masks", at_least(0));
  visit("steps", o.steps, "optimizer updates; exactly one of steps and tokens", at_least(0));
  visit("tokens", o.tokens, "tokens to train on, rounded up to whole steps", at_least(0));
  visit("stop_after", o.stop_after, "save, then leave with code 75 after this step; 0 = never", at_least(0));
  visit("start_from", o.start_from,
        "a run or checkpoint whose weights this run begins with, of the same network; its objective and lengths may be others");
  visit("device", o.device, "auto, cpu or cuda");
  visit("deterministic", o.deterministic, "bit-equal repeats on a GPU too; a CPU run always is");
  visit("cuda_graphs", o.cuda_graphs, "on a GPU, record a step once and replay it");
  visit("reference_kernels", o.reference_kernels, "compose the network of ordinary operations of ATen: slower, and the oracle of the kernels");
  visit("tensorboard", o.tensorboard, "write event files, which tensorboard --logdir reads, into the run's folder");
  visit("profile", o.profile, "[first, last]: steps of which profile.json in the run's folder shows every kernel", at_least(1));
  visit("threads", o.threads, "CPU threads of one rank; 0 = the machine's cores over its ranks", at_least(0));
  visit("watchdog", o.watchdog, "seconds without progress after which a rank ends the job; 0 = never", at_least(0));
  visit("fault", o.fault, "test aid: KIND@RANK,STEP with kind throw, exit, kill, stop, nan or slow");
}

struct DataOptions {
  Mixture train;
  PathList validation;
  bool document_mask = false;
};
template <class Visitor>
void describe(Visitor& visit, DataOptions& o) {
  visit("train", o.train,
        "corpora, or [{ corpus = \"a.h5\", weight = 0.9 }, { task = \"needle\", weight = 0.1 }, ...]; relative to this file; a task "
        "may have sizes = [4, 8]");
  visit("validation", o.validation, "corpora for evaluation; relative to this file");
  visit("document_mask", o.document_mask, "attention stays inside a document, positions restart");
}

struct BatchOptions {
  int64_t global_size = 16;
  int64_t micro_size = 0;
  int64_t sequence_length = 256;
};
template <class Visitor>
void describe(Visitor& visit, BatchOptions& o) {
  visit("global_size", o.global_size, "rows of one step over the whole world", at_least(1));
  visit("micro_size", o.micro_size, "rows of one micro-batch of one data rank; 0 = global_size / data", at_least(0));
  visit("sequence_length", o.sequence_length, "positions of a row", between(1, 1 << 20));
}

struct ParallelOptions {
  int64_t tensor = 1;
  bool sequence = true;
  bool shard_optimizer = false;
  double bucket_megabytes = 0;
  Recompute recompute = Recompute::none;
};
template <class Visitor>
void describe(Visitor& visit, ParallelOptions& o) {
  visit("tensor", o.tensor, "ranks that share one copy of the network; data = world / tensor", at_least(1));
  visit("sequence", o.sequence,
        "ranks that share a network also share its residual stream by positions, norms and dropout included; tensor must divide "
        "sequence_length");
  visit("shard_optimizer", o.shard_optimizer,
        "each data rank keeps and updates its share of the optimizer's state, and of fp32 masters, alone; one data rank has nothing "
        "to share");
  visit("bucket_megabytes", o.bucket_megabytes, "gradients that are reduced in one message; 0 = 4 on a CPU, 128 on a GPU",
        at_least(0));
  visit("recompute", o.recompute, "activations that backward makes again instead of keeping them: slower, and smaller");
}

struct PrecisionOptions {
  Compute compute = Compute::fp32;
  bool tf32 = false;
};
template <class Visitor>
void describe(Visitor& visit, PrecisionOptions& o) {
  visit("compute", o.compute, "fp32 or bf16");
  visit("tf32", o.tf32, "on a GPU, products of fp32 round their inputs to 10 bits of fraction: several times faster");
}

struct CheckpointOptions {
  int64_t every = 100;
  int64_t keep = 2;
};
template <class Visitor>
void describe(Visitor& visit, CheckpointOptions& o) {
  visit("every", o.every, "steps between checkpoints; 0 = only at the end", at_least(0));
  visit("keep", o.keep, "newest checkpoints that stay on disk", at_least(1));
}

struct EvaluateOptions {
  int64_t every = 100;
  int64_t rows = 64;
  std::vector<std::string> tasks = {"loss"};
  int64_t examples = 200;
  int64_t task_seed = 1;
  std::vector<int64_t> sizes;
  PathList choices;
  ProbeOptions probe;
};
template <class Visitor>
void describe(Visitor& visit, EvaluateOptions& o) {
  visit("every", o.every, "steps between evaluations; 0 = never", at_least(0));
  visit("rows", o.rows, "validation rows of one evaluation", at_least(1));
  visit("tasks", o.tasks, "evaluations to run; see lacuna inspect --catalog");
  visit("examples", o.examples, "examples of a task that is generated or read from a file", between(1, 1 << 20));
  visit("task_seed", o.task_seed, "of generated examples, the same for all runs that are compared", at_least(0));
  visit("sizes", o.sizes, "sizes of generated examples (pairs, documents, lengths); [] = the task's own, as far as a row holds them",
        at_least(1));
  visit("choices", o.choices, "JSON lines {\"context\", \"choices\", \"answer\"} for the task choices; relative to this file");
  describe(visit, o.probe);
}

struct Experiment {
  std::filesystem::path file;  // empty where the text came from a checkpoint
  RunOptions run;
  DataOptions data;  // paths absolute
  BatchOptions batch;
  ParallelOptions parallel;
  PrecisionOptions precision;
  CheckpointOptions checkpoint;
  EvaluateOptions evaluate;
  // Each section as written, for cross-checks that name a place, and for the kinds that the catalogs read.
  Section run_section, data_section, batch_section, parallel_section, evaluate_section, precision_section;
  Section objective, architecture, optimizer, schedule;
};

// Reads includes (depth first, relative to the including file), then the file's own keys, then `sets` ("section.key=value";
// TOML values, a bare word is a string; paths in them are relative to the current folder). Throws usage Errors that name
// file:line:column (or "--set section.key=value"), the nearest valid key and the mend. Unknown sections are refused.
Experiment read_experiment(const std::filesystem::path& file, const std::vector<std::string>& sets);
// The same from text, as stored in a checkpoint; `origin` stands for the file in messages, `folder` for its place.
Experiment read_experiment_text(const std::string& text, const std::string& origin, const std::filesystem::path& folder,
                                const std::vector<std::string>& sets);

// Sections that have a fixed set of keys, as TOML; the kind-based ones are added by the caller.
std::string fixed_sections_to_toml(const Experiment& experiment);
// Their keys, as reference_table shows them, under a heading each.
std::string fixed_sections_reference();

}  // namespace lacuna
