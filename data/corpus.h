// A store of samples: random access, fixed size.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/batch.h"

namespace lacuna {

class Tokenizer;

// A property of every recording or picture, such as the digit spoken.
struct Label {
  std::string name;
  std::vector<std::string> classes;  // sorted; Sample::labels counts into them
};

// What the samples of a corpus of frames are. A frame is one column of a spectrogram or of a picture: of each bin (mel filter or
// line, from the lowest or the topmost) its channels.
struct FrameSpec {
  int64_t frames = 0;  // of the whole corpus
  int64_t bins = 0;    // 0 = a corpus of tokens
  int64_t channels = 1;
  int64_t sample_rate = 0;         // Hz; 0 = pictures
  double mean = 0, deviation = 1;  // with which values have been normalised when Corpus::at gives them
  std::vector<Label> labels;
  int64_t frame_size() const { return bins * channels; }
};

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
  FrameSpec frames;
};

class Corpus {
 public:
  virtual ~Corpus() = default;
  virtual int64_t size() const = 0;            // samples
  virtual Sample at(int64_t index) const = 0;  // Sample::position is left 0; thread-safe
  virtual const CorpusSpec& spec() const = 0;
  // Reads all that is stored and compares it with spec().content_hash; throws Error(data). What is generated stores nothing.
  virtual void verify() const {}
};

}  // namespace lacuna
