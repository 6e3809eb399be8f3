// Writes a corpus of tokens; memory does not grow with it. Documents gather in nameless files beside the output; finish()
// makes the HDF5 file and compares its hash before it is put in place (data/whole_file.h).
// Throws Error(data) for tokens outside the vocabulary, Error(disk) when the disk fails or is full, Error(usage) for a folder
// that cannot be written to.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "data/hdf5_file.h"
#include "data/scratch_file.h"
#include "data/sha256.h"

namespace lacuna {

class CorpusWriter {
 public:
  // Tokens are stored in 16 bits if the vocabulary allows, else in 32.
  CorpusWriter(const std::filesystem::path& path, int64_t vocabulary_size);

  // `text_bytes` is the size of the text that the tokens stand for. A document without tokens leaves no trace but its bytes.
  void add_document(std::span<const int32_t> tokens, int64_t text_bytes);
  // A document that tells which of its tokens are a response (1) to those before them (0): of all documents or of none.
  void add_document(std::span<const int32_t> tokens, int64_t text_bytes, std::span<const uint8_t> responses);
  // More of the document that was added last, for documents that do not fit into memory.
  void extend_document(std::span<const int32_t> tokens, int64_t text_bytes);

  int64_t num_tokens() const { return num_tokens_; }
  int64_t num_documents() const { return documents_.size() / bytes_of(ElementType::uint64); }
  int64_t num_bytes() const { return num_bytes_; }

  // Once, at the end; an existing file at the path is replaced. `tokenizer` and `blob` are what make_tokenizer() takes, or
  // "none" and nothing. A writer that goes away without it leaves nothing behind.
  void finish(const std::string& tokenizer, std::string_view blob);

 private:
  void write_file(const std::filesystem::path& path, const std::string& tokenizer, std::string_view blob);

  std::filesystem::path path_;
  int64_t vocabulary_size_;
  ElementType type_;
  ScratchFile tokens_, documents_, responses_;
  Sha256 hash_;
  int64_t num_tokens_ = 0, num_bytes_ = 0;
};

}  // namespace lacuna
