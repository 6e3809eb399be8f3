// From an experiment's words to the parts of a run. The only place that sees every type, and where sections are checked against
// one another and against the world.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/corpus.h"
#include "launch/device.h"
#include "objectives/catalog.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_writer.h"
#include "trainer/config/experiment.h"
#include "trainer/evaluate/evaluation.h"
#include "trainer/model/catalog.h"
#include "trainer/model/flat_storage.h"
#include "trainer/optim/schedule.h"
#include "trainer/parallel/mesh.h"
#include "trainer/step_stream.h"

namespace lacuna {

// The numbers of a run that follow from the config and the world.
struct Layout {
  int world, data, tensor;
  int64_t steps;            // of the whole run
  int64_t row_length;       // T, positions of a row: tokens or patches
  int64_t rows_per_rank;    // of one step
  int64_t micro_size;       // rows of one micro-batch
  int64_t tokens_per_step;  // over the world; patches of corpora of frames
  at::DeviceType device;
};
// Throws usage errors at the keys that do not fit the world or one another.
Layout lay_out(const Experiment& experiment, int world, Purpose purpose = Purpose::run);
// The tensor axis for a world that need not be the training's: the largest size that divides both.
int64_t tensor_size_for(const Experiment& experiment, int world);

// How the flat buffers are cut into messages, and whether the optimizer's state is shared out.
Sharding sharding_of(const Experiment& experiment, const Layout& layout, int data_rank);

// Every key of every section, runnable as it is.
std::string resolved_config(const Experiment& experiment);

// Has a child process try every corpus of the experiment, so that a hostile file gives an error and no crash. Forks: for one
// rank, before MPI is up.
void probe_corpora(const Experiment& experiment);

// What samples are made of: shared by all corpora of a run, kept in its checkpoints.
struct SampleSpec {
  std::shared_ptr<const Tokenizer> tokenizer;  // null of corpora of frames
  int64_t vocabulary_size = 0;                 // the tokenizer's ids, its end token included
  FrameSpec frames = {};                       // of corpora of frames, those of the first
};
// Throws a data error if the corpora were not made with one tokenizer, or their frames have different sizes.
SampleSpec sample_spec_of(const Experiment& experiment);
SampleSpec sample_spec_of(const Checkpoint& checkpoint);
// Throws a data error where a corpus was made with another tokenizer than `samples`', or its frames have another size.
void check_samples(const std::vector<std::string>& corpora, const SampleSpec& samples, const std::string& origin);
// Throws a data error where a corpus that the checkpoint was trained on has other contents now: a resumed run would not be the
// same run.
void check_corpora(const Checkpoint& checkpoint, const std::map<std::string, std::string>& hashes);
// Path, or the name of a task and its place in the mixture -> content hash of the training corpora.
std::map<std::string, std::string> corpus_hashes(const Experiment& experiment, const SampleSpec& samples,
                                                 const Objective& objective);
// The tokenizer, or the size of frames, as a tensor to be saved with a checkpoint, so that it needs no other file.
TensorSlice sample_spec_slice(const SampleSpec& samples);

// How the experiment's network cuts rows of such frames; nothing on text. Throws usage errors where the network reads the other kind of
// corpus, or its patches do not divide a row.
std::optional<PatchGrid> grid_of(const Experiment& experiment, const FrameSpec& frames);

std::unique_ptr<Objective> make_objective(const Experiment& experiment, const SampleSpec& samples);
std::vector<std::shared_ptr<const Corpus>> open_corpora(const std::vector<std::string>& paths, const Objective& objective);
// The rows of every step as this rank of the layout takes them; `architecture` is null where no network will read them.
StepSource make_source(const Experiment& experiment, const SampleSpec& samples, const Objective& objective, const Layout& layout,
                       int data_rank, const Architecture* architecture = nullptr);

// Throws a usage error where one of `tasks` cannot judge the experiment's network, or lacks what it reads, before anything is
// allocated. `has_corpora`: there is one to validate on.
void check_evaluations(const Experiment& experiment, const std::vector<std::string>& tasks, const SampleSpec& samples,
                       bool has_corpora);
// The evaluations of training. Without a validation corpus `loss`, which is there by default, is left out.
std::vector<std::pair<std::string, std::unique_ptr<Evaluation>>> make_evaluations(const Experiment& experiment,
                                                                                  const SampleSpec& samples);

// A network with its parameters in flat storage; values are not set yet.
struct Network {
  ParameterTable table;
  std::unique_ptr<Architecture> architecture;
  std::vector<ParameterSpec> parameters;
};
// Checks the objective's needs against the architecture's offers before anything is allocated.
void check_fit(const Experiment& experiment, int64_t tensor_size);
// The objective's own parameters come behind the architecture's.
std::unique_ptr<Network> make_network(const Experiment& experiment, const SampleSpec& samples, Objective& objective, Mesh& mesh);
// Whether blocks are to be single nodes of fixed kernels: bf16 on a GPU, unless run.reference_kernels.
bool uses_fused_kernels(const Experiment& experiment);

// What a checkpoint holds of a run, for evaluation and generation.
struct Restored {
  Experiment experiment;
  SampleSpec samples;
  std::unique_ptr<Objective> objective;
  std::unique_ptr<Network> network;
  std::unique_ptr<FlatStorage> storage;
  int64_t step = 0;
};
// `where`: a run's folder or a checkpoint's. Every rank reads its own slices; damaged checkpoints are told on stderr.
Restored restore_network(const std::string& where, const std::vector<std::string>& sets, Mesh& mesh, at::Device device);

}  // namespace lacuna
