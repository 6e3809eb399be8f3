#include "data/hdf5_corpus.h"

#include <gtest/gtest.h>
#include <hdf5.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <thread>

#include "data/corpus_writer.h"
#include "data/probe.h"
#include "tests/support/expect_error.h"
#include "tests/support/foreign_corpus.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

using testing::expect_error;
using testing::ForeignCorpus;
using testing::TemporaryFolder;

constexpr int64_t kNumTokens = 1000;
constexpr int64_t kDocumentLength = 30;  // the last one is shorter

int32_t token(int64_t i) { return static_cast<int32_t>(i * i % 251); }

std::filesystem::path written(const TemporaryFolder& folder) {
  CorpusWriter writer(folder / "c.h5", 251);
  for (int64_t first = 0; first < kNumTokens; first += kDocumentLength) {
    std::vector<int32_t> document;
    for (int64_t i = first; i < std::min(first + kDocumentLength, kNumTokens); ++i) document.push_back(token(i));
    writer.add_document(document, 40);
  }
  writer.finish("none", "");
  return folder / "c.h5";
}

TEST(Hdf5Corpus, WindowsAreStretchesOfTheStream) {
  const TemporaryFolder folder;
  const auto path = written(folder);
  for (const auto& [window, stride] : {std::pair{65, 64}, {64, 64}, {1, 1}, {1000, 1}, {100, 7}, {5, 900}}) {
    const Hdf5Corpus corpus(path, window, stride);
    EXPECT_EQ(corpus.size(), (kNumTokens - window) / stride + 1);
    for (int64_t i = 0; i < corpus.size(); ++i) {
      const Sample sample = corpus.at(i);
      ASSERT_EQ(static_cast<int64_t>(sample.tokens.size()), window);
      std::vector<int32_t> starts;
      for (int64_t t = 0; t < window; ++t) {
        ASSERT_EQ(sample.tokens[static_cast<size_t>(t)], token(i * stride + t)) << "window " << window << ", sample " << i;
        if ((i * stride + t) % kDocumentLength == 0) starts.push_back(static_cast<int32_t>(t));
      }
      ASSERT_EQ(sample.document_starts, starts) << "window " << window << ", sample " << i;
    }
    EXPECT_THROW(corpus.at(corpus.size()), Error);
    EXPECT_THROW(corpus.at(-1), Error);
  }
  EXPECT_EQ(Hdf5Corpus(path, kNumTokens + 1, 1).size(), 0);
  expect_error(ExitCode::usage, "at least one token", [&] { Hdf5Corpus(path, 0, 1); });
}

TEST(Hdf5Corpus, SaysWhatItHolds) {
  const TemporaryFolder folder;
  const CorpusSpec spec = Hdf5Corpus::open_spec(written(folder));
  EXPECT_EQ(spec.kind, "corpus");
  EXPECT_EQ(spec.tokens, kNumTokens);
  EXPECT_EQ(spec.documents, 34);
  EXPECT_EQ(spec.bytes, 34 * 40);
  EXPECT_EQ(spec.vocabulary_size, 251);
  EXPECT_EQ(spec.content_hash.size(), 64u);
}

void refused(const ForeignCorpus& foreign, const std::string& words) {
  const TemporaryFolder folder;
  const auto path = foreign.make(folder.path());
  expect_error(ExitCode::data, words, [&] { Hdf5Corpus(path, 4, 1); });
  expect_error(ExitCode::data, words, [&] { Hdf5Corpus::probe(path); });
  expect_error(ExitCode::data, path.string(), [&] { Hdf5Corpus(path, 4, 1); });
}

TEST(Hdf5Corpus, ReadsChunkedAndCompressedFilesOfOthers) {
  const TemporaryFolder folder;
  const Hdf5Corpus plain(ForeignCorpus{}.make(folder.path()), 4, 3);
  EXPECT_TRUE(plain.mapped());
  const auto deflate = [](hid_t creation) {
    H5Pset_shuffle(creation);
    H5Pset_deflate(creation, 6);
    H5Pset_fletcher32(creation);
  };
  for (const ForeignCorpus& foreign :
       {ForeignCorpus{.chunk = 3}, ForeignCorpus{.chunk = 4, .change_storage = deflate},
        ForeignCorpus{.change_storage = [](hid_t creation) { H5Pset_layout(creation, H5D_COMPACT); }}}) {
    const TemporaryFolder own;
    Hdf5Corpus::probe(foreign.make(own.path()));
    const Hdf5Corpus corpus(foreign.make(own.path()), 4, 3);
    EXPECT_FALSE(corpus.mapped());
    EXPECT_EQ(corpus.size(), plain.size());
    corpus.verify();
    std::vector<std::jthread> readers;  // the lock inside keeps the library from harm
    for (int reader = 0; reader < 3; ++reader) {
      readers.emplace_back([&] {
        for (int repeat = 0; repeat < 20; ++repeat) {
          for (int64_t i = 0; i < corpus.size(); ++i) {
            EXPECT_EQ(corpus.at(i).tokens, plain.at(i).tokens);
            EXPECT_EQ(corpus.at(i).document_starts, plain.at(i).document_starts);
          }
        }
      });
    }
  }
}

TEST(Hdf5Corpus, RefusesDataOfOtherFiles) {
  refused(ForeignCorpus{.change_storage = [](hid_t creation) { H5Pset_external(creation, "/etc/passwd", 0, 20); }},
          "in another file");
  refused(ForeignCorpus{.change_storage =
                            [](hid_t creation) {
                              const hsize_t size = 10;
                              const hid_t space = H5Screate_simple(1, &size, nullptr);
                              H5Pset_virtual(creation, space, "/etc/other.h5", "tokens", space);
                              H5Sclose(space);
                            }},
          "is virtual");
  const auto replaced = [](const std::function<void(hid_t)>& link) {
    return ForeignCorpus{.change_file = [link](hid_t file) {
      H5Ldelete(file, "documents", H5P_DEFAULT);
      link(file);
    }};
  };
  refused(replaced([](hid_t file) { H5Lcreate_external("other.h5", "/documents", file, "documents", H5P_DEFAULT, H5P_DEFAULT); }),
          "documents is a link to another place");
  refused(replaced([](hid_t file) { H5Lcreate_soft("/tokens", file, "documents", H5P_DEFAULT, H5P_DEFAULT); }),
          "documents is a link to another place");
}

TEST(Hdf5Corpus, RefusesStorageThatBlowsUp) {
  refused(ForeignCorpus{.chunk = 1 << 20, .claimed = int64_t{1} << 50},
          "claims 1125899906842624 elements but the file stores 0 bytes");
  refused(ForeignCorpus{.claimed = int64_t{1} << 50}, "claims 1125899906842624 elements but the file stores 0 bytes");
  refused(ForeignCorpus{.chunk = 5,
                        .change_storage =
                            [](hid_t creation) {
                              H5Pset_deflate(creation, 9);
                              H5Pset_deflate(creation, 9);
                            }},
          "compressed more than once");
  refused(ForeignCorpus{.chunk = 5, .change_storage = [](hid_t creation) { H5Pset_scaleoffset(creation, H5Z_SO_INT, 0); }},
          "a filter other than");
  refused(ForeignCorpus{.chunk = 40 << 20, .claimed = 41 << 20}, "chunks over 64 MiB");
  // Ten million zeros shrink more than a thousandfold.
  ForeignCorpus bomb{
      .chunk = 10'000'000, .change_storage = [](hid_t creation) { H5Pset_deflate(creation, 9); }, .claimed = 10'000'000};
  bomb.tokens.assign(10'000'000, 0);
  refused(bomb, "claims 10000000 elements but the file stores");
}

TEST(Hdf5Corpus, RefusesWhatIsNotATokenCorpus) {
  refused(ForeignCorpus{.version = 3}, "its format version is 3 and this program reads versions 1 and 2");
  refused(ForeignCorpus{.version = 2}, "dataset responses is missing");
  refused(ForeignCorpus{.kind = "frames"}, "it holds frames, and tokens are needed");
  refused(ForeignCorpus{.vocabulary = 0}, "its vocabulary_size is 0");
  refused(ForeignCorpus{.hash = "abc"}, "not 64 hexadecimal digits");
  refused(ForeignCorpus{.documents = {1, 4}}, "document 0 starts at token 1");
  refused(ForeignCorpus{.documents = {0, 4, 4}}, "document 2 starts at token 4");
  refused(ForeignCorpus{.documents = {0, 10}}, "document 1 starts at token 10");
  refused(ForeignCorpus{.documents = {0, ~0ull}}, "document 1 starts at token 18446744073709551615");
  refused(ForeignCorpus{.tokens_type = H5T_STD_I64LE}, "Store them as little-endian uint16 or uint32");
  refused(ForeignCorpus{.tokens_type = H5T_STD_U16BE}, "Store them as little-endian uint16 or uint32");
  refused(ForeignCorpus{.change_file = [](hid_t file) { H5Ldelete(file, "tokens", H5P_DEFAULT); }}, "dataset tokens is missing");
  refused(ForeignCorpus{.change_file = [](hid_t file) { H5Adelete(file, "bytes"); }}, "attribute bytes is missing");
  refused(ForeignCorpus{.tokens = {}, .documents = {0}, .claimed = 0}, "it holds no tokens");
}

TEST(Hdf5Corpus, RefusesFilesThatAreNotThereOrNotHdf5) {
  const TemporaryFolder folder;
  expect_error(ExitCode::data, "there is no such file", [&] { Hdf5Corpus(folder / "absent.h5", 4, 1); });
  expect_error(ExitCode::data, "there is no such file", [&] { Hdf5Corpus(folder.path(), 4, 1); });
  std::ofstream(folder / "junk.h5") << "\x89HDF\r\n\x1a\n" << std::string(4000, 'j');
  expect_error(ExitCode::data, "not readable as HDF5", [&] { Hdf5Corpus(folder / "junk.h5", 4, 1); });
  const auto path = written(folder);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 100);
  expect_error(ExitCode::data, "prepare it again", [&] { Hdf5Corpus(path, 4, 1); });
}

TEST(Hdf5Corpus, ATokenOutsideTheVocabularyIsNamedWithItsPlace) {
  const TemporaryFolder folder;
  const auto path = ForeignCorpus{.vocabulary = 9}.make(folder.path());
  const Hdf5Corpus corpus(path, 4, 1);
  EXPECT_EQ(corpus.at(1).tokens, (std::vector<int32_t>{1, 4, 1, 5}));
  expect_error(ExitCode::data, path.string() + ": token 9 at offset 5 is outside the vocabulary of 9", [&] { corpus.at(2); });
}

TEST(Hdf5Corpus, VerifyFindsAChangedToken) {
  const TemporaryFolder folder;
  const auto path = ForeignCorpus{.hash = std::string(64, '0')}.make(folder.path());
  expect_error(ExitCode::data, "do not have the hash", [&] { Hdf5Corpus(path, 4, 1).verify(); });
}

TEST(Probe, AParseThatCrashesOrTakesAllMemoryIsAnError) {
  probe_in_child("x.h5", [] {});
  expect_error(ExitCode::data, "x.h5: reading it in a child process ended with signal",
               [] { probe_in_child("x.h5", [] { std::raise(SIGSEGV); }); });
  expect_error(ExitCode::checkpoint, "as it was", [] { probe_in_child("x.h5", [] { throw checkpoint_error("as it was"); }); });
  expect_error(ExitCode::data, "x.h5", [] { probe_in_child("x.h5", [] { std::vector<char>(size_t{3} << 30).front() = 1; }); });
}

}  // namespace
}  // namespace lacuna
