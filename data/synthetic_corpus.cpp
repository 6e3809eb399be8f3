#include "data/synthetic_corpus.h"

#include <cmath>
#include <numeric>
#include <string>

#include "data/error.h"
#include "data/sha256.h"

namespace lacuna {

SyntheticCorpus::SyntheticCorpus(const SyntheticOptions& options) : options_(options) {
  const SyntheticOptions& o = options_;
  if (o.vocabulary_size < 1 || o.window < 1 || o.size < 1 || o.period < 1 || !(o.certainty >= 0 && o.certainty <= 1)) {
    throw data_error("A synthetic corpus needs sizes of at least 1 and a certainty between 0 and 1.");
  }
  spec_.name = "synthetic " + std::string(names_of(o.kind)[static_cast<size_t>(o.kind)]) + ", seed " + std::to_string(o.seed) +
               ", vocabulary " + std::to_string(o.vocabulary_size) + ", " + std::to_string(o.size) + " x " +
               std::to_string(o.window) + ", period " + std::to_string(o.period) + ", certainty " + std::to_string(o.certainty);
  Sha256 hash;  // of the description, which decides every token
  hash.update(spec_.name.data(), spec_.name.size());
  spec_.content_hash = hash.hex();
  spec_.tokens = o.size * o.window;
  spec_.documents = o.size;
  spec_.bytes = spec_.tokens;
  spec_.vocabulary_size = o.vocabulary_size;
  if (o.kind == SyntheticKind::bigram) {
    successors_.resize(static_cast<size_t>(o.vocabulary_size));
    std::iota(successors_.begin(), successors_.end(), 0);
    Random random = Random(o.seed, 0).fork("successors");
    for (auto i = static_cast<int64_t>(successors_.size()) - 1; i > 0; --i) {
      std::swap(successors_[static_cast<size_t>(i)], successors_[static_cast<size_t>(random.below(i + 1))]);
    }
  }
}

int64_t SyntheticCorpus::period() const {
  switch (options_.kind) {
    case SyntheticKind::copy:
      return std::max<int64_t>(1, options_.window / 2);
    case SyntheticKind::periodic:
      return options_.period;
    default:
      return options_.window;
  }
}

Sample SyntheticCorpus::at(int64_t index) const {
  if (index < 0 || index >= options_.size) {
    throw Error(ExitCode::internal, spec_.name + ": sample " + std::to_string(index) + " was asked for.");
  }
  Random random = Random(options_.seed, static_cast<uint64_t>(index)).fork("tokens");
  Sample sample;
  sample.document_starts = {0};
  const auto repeat = static_cast<size_t>(period());
  for (size_t t = 0; t < static_cast<size_t>(options_.window); ++t) {
    const auto& tokens = sample.tokens;
    if (t >= repeat) {
      sample.tokens.push_back(tokens[t - repeat]);
    } else if (!successors_.empty() && t > 0 && random.uniform() < options_.certainty) {
      sample.tokens.push_back(successors_[static_cast<size_t>(tokens[t - 1])]);
    } else {
      sample.tokens.push_back(static_cast<int32_t>(random.below(options_.vocabulary_size)));
    }
  }
  return sample;
}

double SyntheticCorpus::entropy() const {
  const auto vocabulary = static_cast<double>(options_.vocabulary_size);
  if (options_.kind == SyntheticKind::bigram) {
    const double other = (1 - options_.certainty) / vocabulary, successor = options_.certainty + other;
    return -successor * std::log(successor) - (other > 0 ? (vocabulary - 1) * other * std::log(other) : 0);
  }
  if (options_.window < 2) return 0;
  const auto random_tokens = static_cast<double>(std::min(period(), options_.window) - 1);  // the first one is not predicted
  return random_tokens / static_cast<double>(options_.window - 1) * std::log(vocabulary);
}

}  // namespace lacuna
