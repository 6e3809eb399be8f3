#include "launch/assemble.h"
#include "launch/frames.h"

#include <ATen/ops/empty.h>

#include <cstring>
#include <numeric>

#include "data/open_corpus.h"
#include "data/tokenizer/tokenizer.h"
#include "trainer/checkpoint/checkpoints.h"
#include "trainer/evaluate/catalog.h"
#include "trainer/optim/catalog.h"
#include "trainer/training_state.h"

namespace lacuna {
namespace {

constexpr std::string_view kTokenizerPrefix = "tokenizer.";

std::string section_text(const std::string& name, std::string_view kind, const std::string& keys) {
  return "\n[" + name + "]\n" + (kind.empty() ? "" : "kind = \"" + std::string(kind) + "\"\n") + keys;
}

std::vector<std::string> all_corpora(const Experiment& e) {
  std::vector<std::string> paths;
  for (const auto& part : e.data.train) {
    if (!part.path.empty()) paths.push_back(part.path);
  }
  paths.insert(paths.end(), e.data.validation.paths.begin(), e.data.validation.paths.end());
  return paths;
}

}  // namespace

Layout lay_out(const Experiment& e, int world, Purpose purpose) {
  const auto tensor = e.parallel.tensor;
  if (world % tensor != 0) {
    throw e.parallel_section.error("tensor", std::to_string(tensor) + " does not divide the world's " + std::to_string(world) +
                                                 " ranks; start mpirun with a multiple of it");
  }
  const int64_t data = world / tensor, global = e.batch.global_size;
  if (global % data != 0) {
    throw e.batch_section.error("global_size", std::to_string(global) + " rows do not divide over " + std::to_string(data) +
                                                   " data ranks; use a multiple of " + std::to_string(data));
  }
  const int64_t rows = global / data, micro = e.batch.micro_size == 0 ? rows : e.batch.micro_size;
  if (rows % micro != 0) {
    throw e.batch_section.error("micro_size",
                                std::to_string(micro) + " does not divide the " + std::to_string(rows) + " rows of a data rank");
  }
  const bool reads_frames = find_architecture(e.architecture).offers(e.architecture, 1).modality == "frames";
  const int64_t length = reads_frames ? grid_of(e, sample_spec_of(e).frames)->patches() : e.batch.sequence_length;
  if (!reads_frames && e.parallel.sequence && length % tensor != 0) {
    throw e.batch_section.error("sequence_length", std::to_string(e.batch.sequence_length) + " positions do not divide over " +
                                                       std::to_string(tensor) + " tensor ranks; use a multiple of " +
                                                       std::to_string(tensor) + ", or set parallel.sequence = false");
  }
  const auto device = choose_device(e, purpose);
  for (const auto& task : e.evaluate.tasks) find_evaluation(task);
  const int64_t tokens = global * length;
  const int64_t steps = e.run.steps > 0 ? e.run.steps : (e.run.tokens + tokens - 1) / tokens;
  return {.world = world,
          .data = static_cast<int>(data),
          .tensor = static_cast<int>(tensor),
          .steps = steps,
          .row_length = length,
          .rows_per_rank = rows,
          .micro_size = micro,
          .tokens_per_step = tokens,
          .device = device};
}

int64_t tensor_size_for(const Experiment& e, int world) { return std::gcd(e.parallel.tensor, static_cast<int64_t>(world)); }

Sharding sharding_of(const Experiment& e, const Layout& layout, int data_rank) {
  const double megabytes = e.parallel.bucket_megabytes > 0 ? e.parallel.bucket_megabytes : layout.device == at::kCPU ? 4 : 128;
  const bool shared = e.parallel.shard_optimizer && layout.data > 1;
  return {.rank = shared ? data_rank : 0,
          .ranks = shared ? layout.data : 1,
          .bucket_elements = std::max<int64_t>(1, static_cast<int64_t>(megabytes * 1e6 / sizeof(float)))};
}

std::string resolved_config(const Experiment& e) {
  auto schedule = e.schedule.read<ScheduleOptions>();
  const auto& objective = find_objective(e.objective);
  const auto& architecture = find_architecture(e.architecture);
  const auto& optimizer = find_optimizer(e.optimizer);
  return fixed_sections_to_toml(e) + section_text("objective", objective.name, objective.resolve(e.objective)) +
         section_text("architecture", architecture.name, architecture.resolve(e.architecture)) +
         section_text("optimizer", optimizer.name, optimizer.resolve(e.optimizer)) +
         section_text("schedule", "", to_toml(fields_of(schedule)));
}

void probe_corpora(const Experiment& e) {
  for (const auto& path : all_corpora(e)) probe_corpus(path);
  for (const auto& path : e.evaluate.probe.fit.paths) probe_corpus(path);
}

SampleSpec sample_spec_of(const Experiment& e) {
  if (e.data.train.empty()) throw e.data_section.error("train", "names no corpus; make one with lacuna prepare");
  const auto files = all_corpora(e);
  if (files.empty()) {
    throw e.data_section.error("train", "names tasks alone, and a task is written with the tokenizer of a corpus; name one beside it, "
                                        "or under data.validation");
  }
  const auto& first = files.front();
  const auto spec = corpus_spec(first);
  if (spec.frames.bins > 0) {
    if (files.size() < e.data.train.size() + e.data.validation.paths.size()) {
      throw e.data_section.error("train", "names a task beside corpora of frames, and tasks are texts");
    }
    const SampleSpec samples{.tokenizer = nullptr, .frames = spec.frames};
    check_samples(files, samples, first);
    return samples;
  }
  if (!spec.tokenizer) {
    throw data_error(first + " was made without a tokenizer, which a run keeps with its checkpoints; make it with lacuna prepare");
  }
  const SampleSpec samples{.tokenizer = spec.tokenizer, .vocabulary_size = spec.vocabulary_size};
  check_samples(files, samples, first);
  return samples;
}

void check_samples(const std::vector<std::string>& corpora, const SampleSpec& samples, const std::string& origin) {
  if (!samples.tokenizer) return check_frames(corpora, samples.frames, origin);
  const auto identity = [](const Tokenizer& tokenizer) { return tokenizer.name() + tokenizer.serialize(); };
  const auto expected = identity(*samples.tokenizer);
  for (const auto& path : corpora) {
    const auto tokenizer = corpus_spec(path).tokenizer;
    if (tokenizer && identity(*tokenizer) == expected) continue;
    throw data_error(path + " was made with another tokenizer than " + origin +
                     "; prepare both with the same --tokenizer and --vocabulary");
  }
}

void check_corpora(const Checkpoint& checkpoint, const std::map<std::string, std::string>& hashes) {
  for (const auto& [path, hash] : hashes) {
    const auto saved = checkpoint.meta().corpus_hashes.find(path);
    if (saved == checkpoint.meta().corpus_hashes.end() || saved->second == hash) continue;
    throw data_error(path + " is not the corpus that " + checkpoint.folder().string() +
                     " was trained on; bring the old file back, or give the new one a name of its own");
  }
}

TensorSlice sample_spec_slice(const SampleSpec& v) {
  if (!v.tokenizer) return frames_slice(v.frames);
  const auto blob = v.tokenizer->serialize();
  auto bytes = at::empty({static_cast<int64_t>(blob.size())}, at::kByte);
  std::memcpy(bytes.data_ptr(), blob.data(), blob.size());
  return {.name = std::string(kTokenizerPrefix) + v.tokenizer->name(), .full_shape = bytes.sizes().vec(), .value = bytes};
}

SampleSpec sample_spec_of(const Checkpoint& checkpoint) {
  for (const auto& name : checkpoint.names()) {
    if (name == kFramesName) return {.tokenizer = nullptr, .frames = frames_of(checkpoint.read(name))};
    if (!name.starts_with(kTokenizerPrefix)) continue;
    const auto bytes = checkpoint.read(name);
    const std::string_view blob(static_cast<const char*>(bytes.const_data_ptr()), static_cast<size_t>(bytes.numel()));
    const auto tokenizer = make_tokenizer(name.substr(kTokenizerPrefix.size()), blob);
    return {.tokenizer = tokenizer, .vocabulary_size = tokenizer->vocabulary_size()};
  }
  throw checkpoint_error(checkpoint.folder().string() + " holds neither a tokenizer nor a size of frames");
}

std::unique_ptr<Objective> make_objective(const Experiment& e, const SampleSpec& samples) {
  const auto offers = find_architecture(e.architecture).offers(e.architecture, 1);
  const auto tokenizer = samples.tokenizer;
  RowContext context{.length = e.batch.sequence_length,
                     .tokenizer_size = samples.vocabulary_size,
                     .end_token = tokenizer ? tokenizer->end_token() : -1,
                     .document_mask = e.data.document_mask,
                     .rows_per_step = e.batch.global_size,
                     .encoder = offers.encoder,
                     .visibility = offers.visibility,
                     .grid = grid_of(e, samples.frames),
                     .begins_word = {}};
  if (tokenizer) context.begins_word = [tokenizer](int32_t token) { return tokenizer->begins_word(token); };
  return find_objective(e.objective).make(e.objective, context);
}

std::vector<std::shared_ptr<const Corpus>> open_corpora(const std::vector<std::string>& paths, const Objective& objective) {
  std::vector<std::shared_ptr<const Corpus>> corpora;
  for (const auto& path : paths) {
    corpora.push_back(open_corpus(path, objective.sample_length(), objective.sample_stride()));
  }
  return corpora;
}

void check_evaluations(const Experiment& e, const std::vector<std::string>& tasks, const SampleSpec& samples, bool has_corpora) {
  const EvaluationPlan plan{.offers = find_architecture(e.architecture).offers(e.architecture, 1),
                            .options = e.evaluate,
                            .has_corpora = has_corpora,
                            .tokenizer = samples.tokenizer,
                            .length = e.batch.sequence_length};
  for (const auto& task : tasks) {
    if (!samples.tokenizer && !find_evaluation(task).reads_frames) {
      throw e.evaluate_section.error("tasks", task + " judges texts, and the network reads frames");
    }
    if (const auto reason = find_evaluation(task).make()->misfit(plan)) {
      throw e.evaluate_section.error("tasks", task + " cannot judge this run: " + *reason);
    }
  }
}

std::vector<std::pair<std::string, std::unique_ptr<Evaluation>>> make_evaluations(const Experiment& e,
                                                                                  const SampleSpec& samples) {
  const bool has_corpora = !e.data.validation.paths.empty();
  std::vector<std::string> tasks;
  for (const auto& task : e.evaluate.tasks) {
    if (has_corpora || task != "loss") tasks.push_back(task);
  }
  check_evaluations(e, tasks, samples, has_corpora);
  std::vector<std::pair<std::string, std::unique_ptr<Evaluation>>> evaluations;
  for (const auto& task : tasks) evaluations.emplace_back(task, find_evaluation(task).make());
  return evaluations;
}

void check_fit(const Experiment& e, int64_t tensor_size) {
  const auto& objective = find_objective(e.objective);
  const auto& architecture = find_architecture(e.architecture);
  const auto offers = architecture.offers(e.architecture, tensor_size);
  const auto reason = misfit(objective.needs_on(offers.modality, e.objective), offers);
  if (reason) {
    throw e.architecture.error("kind", std::string(objective.name) + " does not fit " + std::string(architecture.name) + ": " +
                                           *reason + " (lacuna inspect --catalog shows the pairs that fit)");
  }
  if (e.data.document_mask && !offers.documents) {
    throw e.data_section.error("document_mask", std::string(architecture.name) +
                                                    " does not keep the documents of a row apart; set it to false");
  }
}

bool uses_fused_kernels(const Experiment& e) { return e.precision.compute == Compute::bf16 && !e.run.reference_kernels; }

std::unique_ptr<Network> make_network(const Experiment& e, const SampleSpec& samples, Objective& objective, Mesh& mesh) {
  check_fit(e, mesh.tensor().size());
  const auto offers = find_architecture(e.architecture).offers(e.architecture, mesh.tensor().size());
  const auto grid = grid_of(e, samples.frames);
  const int64_t length = grid ? grid->patches() : e.batch.sequence_length;
  if (offers.bytes && samples.tokenizer->name() != "bytes") {
    throw e.architecture.error("kind", "the network reads bytes, and the corpora were made with --tokenizer " +
                                           samples.tokenizer->name() + "; prepare them with --tokenizer bytes");
  }
  auto network = std::make_unique<Network>();
  const ModelContext context{.mesh = mesh,
                             .parameters = network->table,
                             .vocabulary_size = samples.vocabulary_size + objective.needs().num_special_tokens,
                             .max_length = length + (objective.needs().withheld_positions ? 1 : 0),
                             .seed = static_cast<uint64_t>(e.run.seed),
                             .operations = e.run.reference_kernels ? reference_operations() : kernel_operations(),
                             .fused = uses_fused_kernels(e),
                             .recompute = e.parallel.recompute,
                             .sequence = e.parallel.sequence,
                             .deterministic = e.run.deterministic,
                             .grid = grid};
  network->architecture = find_architecture(e.architecture).make(e.architecture, context);
  objective.build(context, *network->architecture);
  network->parameters = network->table.list(*network->architecture);
  for (auto& parameter : network->table.list(objective)) {
    parameter.name = "objective." + parameter.name;
    parameter.whole_gradient = true;  // its network reads all positions on every rank
    network->parameters.push_back(std::move(parameter));
  }
  return network;
}

Restored restore_network(const std::string& where, const std::vector<std::string>& sets, Mesh& mesh, at::Device device) {
  const auto checkpoint = open_together(where, mesh.world());
  Restored restored;
  restored.experiment = read_experiment_text(checkpoint.meta().config, checkpoint.folder().string(), checkpoint.folder(), sets);
  restored.samples = sample_spec_of(checkpoint);
  restored.objective = make_objective(restored.experiment, restored.samples);
  restored.network = make_network(restored.experiment, restored.samples, *restored.objective, mesh);
  restored.storage = std::make_unique<FlatStorage>(restored.network->parameters, mesh.data().size(), device,
                                                  compute_type(restored.experiment));
  restore(checkpoint, *restored.storage, nullptr, mesh);
  restored.network->architecture->eval();
  restored.step = checkpoint.meta().step;
  return restored;
}

}  // namespace lacuna
