#include "trainer/evaluate/validation_rows.h"

#include <algorithm>
#include <optional>

#include "data/progress.h"

namespace lacuna {
namespace {

std::vector<SampledSource> sources_of(const EvaluationContext& c) {
  std::vector<SampledSource> sources;
  for (const auto& corpus : c.corpora) sources.push_back({.size = corpus->size(), .weight = static_cast<double>(corpus->size())});
  return sources;
}

}  // namespace

ValidationRows::ValidationRows(const EvaluationContext& context)
    : context_(context), sampler_(sources_of(context), context.seed) {
  for (const auto& corpus : context.corpora) size_ += corpus->size();
  size_ = std::min(size_, context.rows);
}

Sample ValidationRows::at(int64_t row) const {
  const auto place = sampler_.at(row);
  auto sample = context_.corpora[static_cast<size_t>(place.corpus)]->at(place.sample);
  sample.position = row;
  return sample;
}

void ValidationRows::each(const std::string& label, const std::function<void(const std::vector<Sample>&)>& visit) const {
  auto& data = context_.mesh.data();
  const int64_t first = size_ * data.rank() / data.size(), last = size_ * (data.rank() + 1) / data.size();
  std::optional<Progress> progress;
  if (context_.show_progress) progress.emplace(label, last - first, "rows");
  for (int64_t begin = first; begin < last; begin += context_.micro_size) {
    std::vector<Sample> samples;
    for (int64_t row = begin; row < std::min(begin + context_.micro_size, last); ++row) samples.push_back(at(row));
    visit(samples);
    if (context_.alive) context_.alive();
    if (progress) progress->update(begin + static_cast<int64_t>(samples.size()) - first);
  }
}

}  // namespace lacuna
