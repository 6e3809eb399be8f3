// Text files to a corpus: documents are read, tokenised and written as a stream, so memory does not grow with the input.
// Each document ends with the tokenizer's end token. A corpus's bytes are those of the input, end tokens and replaced bytes
// aside.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "data/text_reader.h"

namespace lacuna {

struct PrepareOptions {
  TextOptions text{};
  // Instead of texts: JSON lines {"prompt", "response"}, plain or gzip. Each is a document that tells which tokens are the response;
  // its end token is one of them.
  std::vector<std::filesystem::path> prompts{};
  std::string tokenizer = "bytes";
  std::filesystem::path vocabulary{};        // of gpt2 always; of sentencepiece, where none is trained
  std::optional<int64_t> vocabulary_size{};  // of a sentencepiece model that is trained on the text, 8000 unless set
  std::filesystem::path out{};
  // A document goes to validation by a random number that is a function of its place among all documents, so the split does not
  // depend on the tokenizer. Where the whole input is one document, its last part of this share goes, from a new line on.
  double validation_fraction = 0;
  std::filesystem::path validation_out{};
  bool force = false;  // replace files that exist
};

struct PreparedCorpus {
  std::filesystem::path path;
  int64_t documents = 0;
  int64_t tokens = 0;
  int64_t bytes = 0;
  std::string content_hash;
};

struct PrepareReport {
  PreparedCorpus train;
  std::optional<PreparedCorpus> validation;
  std::string tokenizer;
  int64_t vocabulary_size = 0;
  double seconds = 0;  // of reading, tokenising and writing, without training a tokenizer
};

// Throws Error(usage) for options that contradict each other or would replace a file, Error(data) for input that cannot be read
// or holds no text, Error(disk). `show_progress` draws on standard error.
PrepareReport prepare_text(const PrepareOptions& options, bool show_progress);

}  // namespace lacuna
