#include "data/hdf5_corpus.h"

#include <gtest/gtest.h>
#include <hdf5.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <thread>

#include "data/corpus_writer.h"
#include "data/probe.h"
#include "data/sha256.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

using testing::expect_error;
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

// A corpus as another program might store it, with one thing that is changed on the way.
struct Foreign {
  hid_t tokens_type = H5T_STD_U16LE;
  int64_t chunk = 0;
  std::function<void(hid_t creation)> change_storage = [](hid_t) {};
  std::vector<uint16_t> tokens = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3};
  std::vector<uint64_t> documents = {0, 4};
  int64_t claimed = 10;
  int64_t version = 1, vocabulary = 10;
  std::string kind = "tokens", hash = "";
  std::function<void(hid_t file)> change_file = [](hid_t) {};

  std::filesystem::path make(const TemporaryFolder& folder) const {
    const auto path = folder / "foreign.h5";
    const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    const auto claimed_size = static_cast<hsize_t>(claimed), chunk_size = static_cast<hsize_t>(chunk);
    if (chunk > 0) H5Pset_chunk(creation, 1, &chunk_size);
    change_storage(creation);
    const hid_t space = H5Screate_simple(1, &claimed_size, nullptr);
    const hid_t dataset = H5Dcreate2(file, "tokens", tokens_type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    if (claimed == static_cast<int64_t>(tokens.size())) {
      H5Dwrite(dataset, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, tokens.data());
    }
    const auto num_documents = static_cast<hsize_t>(documents.size());
    const hid_t starts_space = H5Screate_simple(1, &num_documents, nullptr);
    const hid_t starts = H5Dcreate2(file, "documents", H5T_STD_U64LE, starts_space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Dwrite(starts, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, documents.data());
    const hid_t scalar = H5Screate(H5S_SCALAR);
    const auto integer = [&](const char* name, int64_t value) {
      const hid_t attribute = H5Acreate2(file, name, H5T_STD_I32BE, scalar, H5P_DEFAULT, H5P_DEFAULT);
      H5Awrite(attribute, H5T_NATIVE_INT64, &value);
      H5Aclose(attribute);
    };
    const hid_t string = H5Tcopy(H5T_C_S1);
    H5Tset_size(string, H5T_VARIABLE);  // as h5py writes them
    const auto text = [&](const char* name, const std::string& value) {
      const char* stored = value.c_str();
      const hid_t attribute = H5Acreate2(file, name, string, scalar, H5P_DEFAULT, H5P_DEFAULT);
      H5Awrite(attribute, string, &stored);
      H5Aclose(attribute);
    };
    integer("format_version", version);
    integer("vocabulary_size", vocabulary);
    integer("bytes", 10);
    text("kind", kind);
    text("tokenizer", "none");
    Sha256 sha;
    sha.update(tokens.data(), tokens.size() * sizeof(uint16_t));
    sha.update(documents.data(), documents.size() * sizeof(uint64_t));
    text("content_hash", hash.empty() ? sha.hex() : hash);
    for (const hid_t id : {dataset, starts}) H5Dclose(id);
    for (const hid_t id : {space, starts_space, scalar}) H5Sclose(id);
    change_file(file);
    H5Tclose(string);
    H5Pclose(creation);
    H5Fclose(file);
    return path;
  }

  void refused(const std::string& words) const {
    const TemporaryFolder folder;
    const auto path = make(folder);
    expect_error(ExitCode::data, words, [&] { Hdf5Corpus(path, 4, 1); });
    expect_error(ExitCode::data, words, [&] { Hdf5Corpus::probe(path); });
    expect_error(ExitCode::data, path.string(), [&] { Hdf5Corpus(path, 4, 1); });
  }
};

TEST(Hdf5Corpus, ReadsChunkedAndCompressedFilesOfOthers) {
  const TemporaryFolder folder;
  const Hdf5Corpus plain(Foreign{}.make(folder), 4, 3);
  EXPECT_TRUE(plain.mapped());
  const auto deflate = [](hid_t creation) {
    H5Pset_shuffle(creation);
    H5Pset_deflate(creation, 6);
    H5Pset_fletcher32(creation);
  };
  for (const Foreign& foreign : {Foreign{.chunk = 3}, Foreign{.chunk = 4, .change_storage = deflate},
                                 Foreign{.change_storage = [](hid_t creation) { H5Pset_layout(creation, H5D_COMPACT); }}}) {
    const TemporaryFolder own;
    Hdf5Corpus::probe(foreign.make(own));
    const Hdf5Corpus corpus(foreign.make(own), 4, 3);
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
  Foreign{.change_storage = [](hid_t creation) { H5Pset_external(creation, "/etc/passwd", 0, 20); }}.refused("in another file");
  Foreign{.change_storage = [](hid_t creation) {
    const hsize_t size = 10;
    const hid_t space = H5Screate_simple(1, &size, nullptr);
    H5Pset_virtual(creation, space, "/etc/other.h5", "tokens", space);
    H5Sclose(space);
  }}.refused("is virtual");
  const auto replaced = [](const std::function<void(hid_t)>& link) {
    return Foreign{.change_file = [link](hid_t file) {
      H5Ldelete(file, "documents", H5P_DEFAULT);
      link(file);
    }};
  };
  replaced([](hid_t file) {
    H5Lcreate_external("other.h5", "/documents", file, "documents", H5P_DEFAULT, H5P_DEFAULT);
  }).refused("documents is a link to another place");
  replaced([](hid_t file) {
    H5Lcreate_soft("/tokens", file, "documents", H5P_DEFAULT, H5P_DEFAULT);
  }).refused("documents is a link to another place");
}

TEST(Hdf5Corpus, RefusesStorageThatBlowsUp) {
  Foreign{.chunk = 1 << 20, .claimed = int64_t{1} << 50}.refused("claims 1125899906842624 elements but the file stores 0 bytes");
  Foreign{.claimed = int64_t{1} << 50}.refused("claims 1125899906842624 elements but the file stores 0 bytes");
  Foreign{.chunk = 5,
          .change_storage =
              [](hid_t creation) {
                H5Pset_deflate(creation, 9);
                H5Pset_deflate(creation, 9);
              }}
      .refused("compressed more than once");
  Foreign{.chunk = 5, .change_storage = [](hid_t creation) { H5Pset_scaleoffset(creation, H5Z_SO_INT, 0); }}.refused(
      "a filter other than");
  Foreign{.chunk = 40 << 20, .claimed = 41 << 20}.refused("chunks over 64 MiB");
  // Ten million zeros shrink more than a thousandfold.
  Foreign bomb{.chunk = 10'000'000, .change_storage = [](hid_t creation) { H5Pset_deflate(creation, 9); }, .claimed = 10'000'000};
  bomb.tokens.assign(10'000'000, 0);
  bomb.refused("claims 10000000 elements but the file stores");
}

TEST(Hdf5Corpus, RefusesWhatIsNotATokenCorpus) {
  Foreign{.version = 2}.refused("its format version is 2 and this program reads version 1");
  Foreign{.kind = "frames"}.refused("it holds frames, and tokens are needed");
  Foreign{.vocabulary = 0}.refused("its vocabulary_size is 0");
  Foreign{.hash = "abc"}.refused("not 64 hexadecimal digits");
  Foreign{.documents = {1, 4}}.refused("document 0 starts at token 1");
  Foreign{.documents = {0, 4, 4}}.refused("document 2 starts at token 4");
  Foreign{.documents = {0, 10}}.refused("document 1 starts at token 10");
  Foreign{.documents = {0, ~0ull}}.refused("document 1 starts at token 18446744073709551615");
  Foreign{.tokens_type = H5T_STD_I64LE}.refused("Store them as little-endian uint16 or uint32");
  Foreign{.tokens_type = H5T_STD_U16BE}.refused("Store them as little-endian uint16 or uint32");
  Foreign{.change_file = [](hid_t file) { H5Ldelete(file, "tokens", H5P_DEFAULT); }}.refused("dataset tokens is missing");
  Foreign{.change_file = [](hid_t file) { H5Adelete(file, "bytes"); }}.refused("attribute bytes is missing");
  Foreign{.tokens = {}, .documents = {0}, .claimed = 0}.refused("it holds no tokens");
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
  const auto path = Foreign{.vocabulary = 9}.make(folder);
  const Hdf5Corpus corpus(path, 4, 1);
  EXPECT_EQ(corpus.at(1).tokens, (std::vector<int32_t>{1, 4, 1, 5}));
  expect_error(ExitCode::data, path.string() + ": token 9 at offset 5 is outside the vocabulary of 9", [&] { corpus.at(2); });
}

TEST(Hdf5Corpus, VerifyFindsAChangedToken) {
  const TemporaryFolder folder;
  const auto path = Foreign{.hash = std::string(64, '0')}.make(folder);
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
