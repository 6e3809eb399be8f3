// Token corpora whose entropy is known, for tests: every sample is a pure function of (kind, seed, index), one document each.
#pragma once
#include <array>
#include <string_view>
#include <vector>

#include "data/corpus.h"
#include "data/random.h"

namespace lacuna {

enum class SyntheticKind {
  uniform,   // independent tokens
  copy,      // a random first half, then the same again
  periodic,  // `period` random tokens, over and over
  bigram,    // with probability `certainty` a fixed successor of the previous token, else any token
};
constexpr std::array<std::string_view, 4> names_of(SyntheticKind) { return {"uniform", "copy", "periodic", "bigram"}; }

struct SyntheticOptions {
  SyntheticKind kind = SyntheticKind::bigram;
  uint64_t seed = 1;
  int64_t vocabulary_size = 64;
  int64_t window = 65;  // tokens of a sample
  int64_t size = 1024;  // samples
  int64_t period = 8;
  double certainty = 0.9;
};

class SyntheticCorpus : public Corpus {
 public:
  explicit SyntheticCorpus(const SyntheticOptions& options);  // throws Error(data) for sizes below 1
  int64_t size() const override { return options_.size; }
  Sample at(int64_t index) const override;
  const CorpusSpec& spec() const override { return spec_; }

  // Nats per token that the best model pays, the mean over tokens 1 to window - 1 of a sample given those before. For copy and
  // periodic that model knows the period.
  double entropy() const;

 private:
  int64_t period() const;  // of the kinds that repeat themselves
  SyntheticOptions options_;
  CorpusSpec spec_;
  std::vector<int32_t> successors_;  // a permutation of the vocabulary, so that all tokens stay equally frequent
};

}  // namespace lacuna
