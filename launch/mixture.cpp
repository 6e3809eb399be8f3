#include "launch/mixture.h"

#include "data/error.h"
#include "data/open_corpus.h"
#include "data/tasks/catalog.h"
#include "data/tasks/corpus_text.h"
#include "data/tasks/task_corpus.h"

namespace lacuna {
namespace {

std::shared_ptr<const Corpus> open_task(const Experiment& e, const WeightedPath& part, const SampleSpec& samples,
                                        const Objective& objective, const std::vector<std::shared_ptr<const Corpus>>& files) {
  try {
    const auto& entry = find_task(part.task);
    std::string origin;
    Haystack haystack;
    if (entry.needs_haystack && !files.empty()) {
      haystack = haystack_of(files, samples.tokenizer);
      for (const auto& file : files) origin += file->spec().content_hash + "\n";
    }
    const std::shared_ptr<const Task> task = make_task(part.task, {.tokenizer = samples.tokenizer,
                                                                   .length = e.batch.sequence_length,
                                                                   .seed = static_cast<uint64_t>(e.run.seed),
                                                                   .sizes = part.sizes,
                                                                   .haystack = std::move(haystack)});
    return std::make_shared<TaskCorpus>(task, entry.version, objective.sample_length(), origin);
  } catch (const Error& error) {
    if (error.code() != ExitCode::usage) throw;
    throw e.data_section.error("train", error.what());
  }
}

}  // namespace

std::vector<std::shared_ptr<const Corpus>> open_mixture(const Experiment& e, const SampleSpec& samples,
                                                        const Objective& objective) {
  std::vector<std::shared_ptr<const Corpus>> files, all;
  for (const auto& part : e.data.train) {
    if (!part.path.empty()) {
      files.push_back(open_corpus(part.path, objective.sample_length(), objective.sample_stride()));
    }
  }
  auto file = files.begin();
  for (const auto& part : e.data.train) {
    all.push_back(part.task.empty() ? *file++ : open_task(e, part, samples, objective, files));
    if (objective.needs().responses && !all.back()->spec().responses) {
      throw data_error(
          all.back()->spec().name +
          " does not tell which tokens are responses, which the objective needs: make it with lacuna prepare --prompts, "
          "or name a task");
    }
  }
  return all;
}

std::map<std::string, std::string> corpus_hashes(const Experiment& e, const SampleSpec& samples, const Objective& objective) {
  std::map<std::string, std::string> hashes;
  const auto corpora = open_mixture(e, samples, objective);
  for (size_t i = 0; i < corpora.size(); ++i) {
    const auto& part = e.data.train[i];
    hashes[part.task.empty() ? part.path : "task " + part.task + " " + std::to_string(i + 1)] = corpora[i]->spec().content_hash;
  }
  return hashes;
}

StepSource make_source(const Experiment& e, const SampleSpec& samples, const Objective& objective, const Layout& layout,
                       int data_rank, const Architecture* architecture) {
  std::vector<double> weights;
  for (const auto& part : e.data.train) weights.push_back(part.weight);
  return StepSource(
      open_mixture(e, samples, objective), weights, objective, find_objective(e.objective).name,
      static_cast<uint64_t>(e.run.seed),
      {.global_size = e.batch.global_size, .micro_size = layout.micro_size, .data_rank = data_rank, .data_size = layout.data},
      architecture);
}

}  // namespace lacuna
