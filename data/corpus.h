// A store of samples: random access, fixed size.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "data/batch.h"

namespace lacuna {

class Tokenizer;

struct CorpusSpec {
  std::string kind = "corpus";
  std::string name;          // path, or a synthetic corpus's description
  std::string content_hash;  // SHA-256 of the stored values, hex
  int64_t tokens = 0;
  int64_t documents = 0;
  int64_t bytes = 0;                           // of text that the tokens stand for
  int64_t vocabulary_size = 0;                 // tokenizer's ids, its end token included
  std::shared_ptr<const Tokenizer> tokenizer;  // null for synthetic corpora
  bool responses = false;                      // samples tell which of their tokens are responses
};

class Corpus {
 public:
  virtual ~Corpus() = default;
  virtual int64_t size() const = 0;            // samples
  virtual Sample at(int64_t index) const = 0;  // Sample::position is left 0; thread-safe
  virtual const CorpusSpec& spec() const = 0;
};

}  // namespace lacuna
