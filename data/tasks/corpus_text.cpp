#include "data/tasks/corpus_text.h"

namespace lacuna {

Haystack haystack_of(std::vector<std::shared_ptr<const Corpus>> corpora, std::shared_ptr<const Tokenizer> tokenizer) {
  return [corpora = std::move(corpora), tokenizer = std::move(tokenizer)](uint64_t number, int64_t num_tokens) {
    Random random = Random(number, 0).fork("haystack");
    const auto& corpus = *any_of(corpora, random);
    const int64_t first = random.below(corpus.size());
    std::vector<int32_t> tokens;
    for (int64_t i = 0; static_cast<int64_t>(tokens.size()) < num_tokens; ++i) {
      const auto sample = corpus.at((first + i) % corpus.size());
      tokens.insert(tokens.end(), sample.tokens.begin(), sample.tokens.end());
    }
    tokens.resize(static_cast<size_t>(num_tokens));
    return tokenizer->decode(tokens);
  };
}

}  // namespace lacuna
