// Token windows of an HDF5 corpus (the file's parts are listed in data/FORMAT.md). Sample i holds tokens
// [i * stride, i * stride + window) of the stream, documents running on, and the starts of the documents that begin inside it.
//
// Of a corpus of prompts and responses a sample begins where a document does (the stride is not used), so that no response is
// read without its prompt: a document that the sample's end cuts off begins the next one, and until then its responses do not
// count. Of a document longer than the window the end is read.
//
// Contiguous tokens are read through a memory map, which needs no lock and no system call; chunked or compressed ones, as
// others write them, through the library. The map is checked against the file's size when it is opened: a corpus must not be
// cut short while it is read (lacuna prepare replaces files by renaming, which is safe).
#pragma once
#include <cstddef>
#include <filesystem>
#include <optional>
#include <vector>

#include "data/corpus.h"
#include "data/corpus_file.h"
#include "data/hdf5_file.h"

namespace lacuna {

class Hdf5Corpus : public Corpus {
 public:
  // Throws Error(data) for a file that is missing, damaged or not a token corpus.
  Hdf5Corpus(const std::filesystem::path& path, int64_t window, int64_t stride);

  int64_t size() const override { return size_; }  // full windows; may be 0
  // Throws Error(data) when a token of the window lies outside the vocabulary.
  Sample at(int64_t index) const override;
  const CorpusSpec& spec() const override { return spec_; }

  bool mapped() const { return map_ != nullptr; }
  void verify() const override;

  // What a file says of itself.
  static CorpusSpec open_spec(const std::filesystem::path& path);
  // Opens the file in a child process first; see data/probe.h for when this may be called.
  static void probe(const std::filesystem::path& path);

 private:
  void read_spec(const Hdf5File& file);
  void read_responses(const Hdf5File& file);
  // Where samples begin in a corpus of prompts and responses.
  void place_samples();
  // Those of tokens [first, first + window).
  std::vector<uint8_t> responses_at(int64_t first) const;
  template <class Stored>
  void read_tokens(int64_t first, std::vector<int32_t>& tokens) const;

  CorpusSpec spec_;
  int64_t window_, stride_, size_ = 0;
  std::optional<Hdf5File> file_;  // only while tokens are read through the library; outlives tokens_
  std::optional<Hdf5Dataset> tokens_, responses_;
  std::vector<int64_t> sample_starts_;
  std::shared_ptr<const std::byte> map_;  // the whole file
  ElementType token_type_ = ElementType::uint16;
  const std::byte* token_bytes_ = nullptr;  // in map_
  DocumentStarts documents_;
};

}  // namespace lacuna
