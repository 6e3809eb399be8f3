#include "data/corpus_writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "data/error.h"
#include "data/hdf5_corpus.h"
#include "data/sha256.h"
#include "data/tokenizer/tokenizer.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

int64_t num_files(const TemporaryFolder& folder) { return std::distance(std::filesystem::directory_iterator(folder.path()), {}); }

TEST(Sha256, MatchesThePublishedDigest) {
  Sha256 hash;
  hash.update("a", 1);
  hash.update("bc", 2);
  EXPECT_EQ(hash.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(CorpusWriter, WhatIsWrittenReadsBack) {
  const TemporaryFolder folder;
  for (const int64_t vocabulary : {256, 65536, 65537, 1 << 30}) {
    CorpusWriter writer(folder / "c.h5", vocabulary);
    const std::vector<int32_t> first = {1, 2, static_cast<int32_t>(vocabulary - 1)}, second = {7};
    writer.add_document(first, 11);
    writer.add_document({}, 2);
    writer.add_document(second, 5);
    EXPECT_EQ(writer.num_tokens(), 4);
    EXPECT_EQ(writer.num_documents(), 2);
    writer.finish("none", "");
    const Hdf5Corpus corpus(folder / "c.h5", 4, 1);
    EXPECT_TRUE(corpus.mapped());
    EXPECT_EQ(corpus.size(), 1);
    EXPECT_EQ(corpus.at(0).tokens, (std::vector<int32_t>{1, 2, static_cast<int32_t>(vocabulary - 1), 7}));
    EXPECT_EQ(corpus.at(0).document_starts, (std::vector<int32_t>{0, 3}));
    EXPECT_EQ(corpus.spec().bytes, 18);
    EXPECT_EQ(corpus.spec().vocabulary_size, vocabulary);
    EXPECT_EQ(corpus.spec().tokenizer, nullptr);
    corpus.verify();
    EXPECT_EQ(num_files(folder), 1) << "temporary files stayed behind";
  }
}

TEST(CorpusWriter, TheHashIsThatOfTokensAndDocumentOffsets) {
  const TemporaryFolder folder;
  CorpusWriter writer(folder / "c.h5", 256);
  writer.add_document(std::vector<int32_t>{104, 105}, 2);
  writer.add_document(std::vector<int32_t>{33}, 1);
  writer.finish("none", "");
  Sha256 hash;
  const uint16_t tokens[] = {104, 105, 33};
  const uint64_t starts[] = {0, 2};
  hash.update(tokens, sizeof tokens);
  hash.update(starts, sizeof starts);
  EXPECT_EQ(Hdf5Corpus::open_spec(folder / "c.h5").content_hash, hash.hex());
}

TEST(CorpusWriter, ManyDocumentsPassThroughTheBlocks) {
  const TemporaryFolder folder;
  CorpusWriter writer(folder / "c.h5", 50000);
  const int64_t num_documents = 200'000;  // over one block of offsets and of tokens
  for (int64_t i = 0; i < num_documents; ++i) {
    writer.add_document(std::vector<int32_t>(static_cast<size_t>(1 + i % 7), static_cast<int32_t>(i % 50000)), 1);
  }
  writer.finish("none", "");
  const Hdf5Corpus corpus(folder / "c.h5", 28, 28);
  EXPECT_EQ(corpus.spec().documents, num_documents);
  for (const int64_t index : {int64_t{0}, corpus.size() / 2, corpus.size() - 1}) {
    const Sample sample = corpus.at(index);  // seven documents of 1 to 7 tokens
    EXPECT_EQ(sample.document_starts, (std::vector<int32_t>{0, 1, 3, 6, 10, 15, 21}));
    for (size_t i = 0; i < 7; ++i) {
      EXPECT_EQ(sample.tokens[static_cast<size_t>(sample.document_starts[i])], (7 * index + static_cast<int64_t>(i)) % 50000);
    }
  }
}

TEST(CorpusWriter, StoresTheTokenizer) {
  const TemporaryFolder folder;
  const auto bytes = make_tokenizer("bytes", "");
  std::vector<int32_t> tokens;
  bytes->encode("a gap", tokens);
  CorpusWriter writer(folder / "c.h5", bytes->vocabulary_size());
  writer.add_document(tokens, 5);
  writer.finish(bytes->name(), bytes->serialize());
  const Hdf5Corpus corpus(folder / "c.h5", 5, 5);
  EXPECT_EQ(corpus.spec().tokenizer->name(), "bytes");
  EXPECT_EQ(corpus.spec().tokenizer->decode(corpus.at(0).tokens), "a gap");
}

TEST(CorpusWriter, RefusesWhatCannotBeStored) {
  const TemporaryFolder folder;
  CorpusWriter writer(folder / "c.h5", 10);
  writer.add_document(std::vector<int32_t>{1}, 1);
  expect_error(ExitCode::data, "token 10 of document 1 is outside the vocabulary of 10. Check the tokenizer.", [&] {
    writer.add_document(std::vector<int32_t>{3, 10}, 2);
  });
  expect_error(ExitCode::data, "token -1", [&] { writer.add_document(std::vector<int32_t>{-1}, 2); });
  expect_error(ExitCode::data, "Are the input files empty?", [&] { CorpusWriter(folder / "empty.h5", 10).finish("none", ""); });
  expect_error(ExitCode::usage, "Name a folder that exists", [&] { CorpusWriter(folder / "absent/c.h5", 10); });
  expect_error(ExitCode::data, "not 0", [&] { CorpusWriter(folder / "c.h5", 0); });
  EXPECT_EQ(num_files(folder), 0);
}

// A limit on the size of files fails a write just as a full disk does.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t most) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit lowered{most, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &lowered);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(CorpusWriter, AFullDiskIsReportedAndLeavesNothing) {
  const TemporaryFolder folder;
  const std::vector<int32_t> tokens(1 << 20, 1);
  std::ofstream(folder / "c.h5") << "what was there before";
  {
    CorpusWriter writer(folder / "c.h5", 10);
    const FileSizeLimit limit(1 << 20);
    expect_error(ExitCode::disk, "Free some space", [&] { writer.add_document(tokens, 1); });
  }
  {
    CorpusWriter writer(folder / "c.h5", 10);
    writer.add_document(tokens, 1);
    const FileSizeLimit limit((2 << 20) - 4096);  // the temporary files are done; the HDF5 file does not fit
    expect_error(ExitCode::disk, "disk", [&] { writer.finish("none", ""); });
  }
  EXPECT_EQ(num_files(folder), 1);
  std::string kept;
  std::getline(std::ifstream(folder / "c.h5") >> std::ws, kept);
  EXPECT_EQ(kept, "what was there before");
}

}  // namespace
}  // namespace lacuna
