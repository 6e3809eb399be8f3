#include "trainer/step_stream.h"

#include "data/error.h"

namespace lacuna {
namespace {

std::vector<SampledSource> sources_of(const std::vector<std::shared_ptr<const Corpus>>& corpora, const std::vector<double>& weights) {
  std::vector<SampledSource> sources;
  for (size_t i = 0; i < corpora.size(); ++i) {
    if (corpora[i]->size() == 0) {
      throw data_error(corpora[i]->spec().name + " holds " + std::to_string(corpora[i]->spec().tokens) +
                       " tokens, not enough for one row; lower batch.sequence_length or prepare more text");
    }
    sources.push_back({.size = corpora[i]->size(), .weight = weights[i]});
  }
  return sources;
}

}  // namespace

StepSource::StepSource(std::vector<std::shared_ptr<const Corpus>> corpora, std::vector<double> weights,
                       const Objective& objective, std::string_view objective_name, uint64_t seed, RowLayout layout,
                       const Architecture* architecture)
    : corpora_(std::move(corpora)),
      sampler_(sources_of(corpora_, weights), seed),
      objective_(objective),
      random_(Random(seed, 2).fork(objective_name)),
      layout_(layout),
      architecture_(architecture) {}

StepInput StepSource::at(int64_t step) const {
  const int64_t rows = layout_.global_size / layout_.data_size;
  const int64_t first = (step - 1) * layout_.global_size + rows * layout_.data_rank;
  StepInput input{.step = step, .micro_batches = {}, .target_count = 0, .rows = rows};
  for (int64_t begin = 0; begin < rows; begin += layout_.micro_size) {
    std::vector<Sample> samples;
    for (int64_t position = first + begin; position < first + begin + layout_.micro_size; ++position) {
      const auto place = sampler_.at(position);
      samples.push_back(corpora_[static_cast<size_t>(place.corpus)]->at(place.sample));
      samples.back().position = position;
    }
    input.micro_batches.push_back(objective_.prepare(samples, random_));
    if (architecture_ != nullptr) architecture_->complete(input.micro_batches.back());
    input.target_count += input.micro_batches.back().target_count;
  }
  return input;
}

}  // namespace lacuna
