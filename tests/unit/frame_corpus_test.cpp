#include "data/frame_corpus.h"

#include <gtest/gtest.h>
#include <hdf5.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "data/frame_labels.h"
#include "data/frame_writer.h"
#include "data/hdf5_corpus.h"
#include "data/open_corpus.h"
#include "data/synthetic_frames.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

constexpr int64_t kBins = 3;
const std::vector<int64_t> kLengths = {5, 1, 12, 4, 9};

float value(int64_t i) { return static_cast<float>(i * i % 17) - 4; }

// Documents of kLengths frames whose values run on; the third has no speaker.
std::filesystem::path written(const TemporaryFolder& folder, const std::optional<FrameStatistics>& statistics = {}) {
  FrameWriter writer(folder / "f.h5", {.bins = kBins, .sample_rate = 8000, .labels = {}}, R"({"kind": "test"})",
                     {"digit", "speaker"});
  const std::vector<std::vector<std::string>> words = {{"10", "theo"}, {"9", "ann"}, {"10", ""}, {"0", "theo"}, {"9", "ann"}};
  int64_t next = 0;
  for (size_t d = 0; d < kLengths.size(); ++d) {
    std::vector<float> frames;
    for (int64_t i = 0; i < kLengths[d] * kBins; ++i) frames.push_back(value(next++));
    writer.add_document(frames, words[d], "document");
  }
  EXPECT_EQ(writer.num_frames(), 31);
  EXPECT_EQ(writer.num_documents(), 5);
  writer.finish(statistics);
  return folder / "f.h5";
}

void change(const std::filesystem::path& path, const std::function<void(hid_t file)>& how) {
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  how(file);
  H5Fclose(file);
}

template <class T>
void write(hid_t file, const char* name, hid_t type, const std::vector<T>& values) {
  H5Ldelete(file, name, H5P_DEFAULT);
  const hsize_t size = values.size();
  const hid_t space = H5Screate_simple(1, &size, nullptr);
  const hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
  H5Dclose(dataset);
  H5Sclose(space);
}

void refused(const std::string& words, const std::function<void(hid_t file)>& how) {
  const TemporaryFolder folder;
  const auto path = written(folder);
  change(path, how);
  expect_error(ExitCode::data, words, [&] { FrameCorpus(path, 4).verify(); });
  expect_error(ExitCode::data, path.string(), [&] { FrameCorpus(path, 4).verify(); });
}

TEST(FrameCorpus, EveryFrameIsInASampleAndShortDocumentsComeAsTheyAre) {
  const TemporaryFolder folder;
  const auto path = written(folder);
  for (const int64_t window : {1, 4, 5, 12, 100}) {
    const FrameCorpus corpus(path, window);
    EXPECT_TRUE(corpus.mapped());
    const auto& spec = corpus.spec().frames;
    int64_t sample = 0, start = 0;
    for (const int64_t length : kLengths) {
      std::vector<int> covered(static_cast<size_t>(length));
      const int64_t windows = (length + window - 1) / window;
      for (int64_t w = 0; w < windows; ++w) {
        const Sample got = corpus.at(sample++);
        const int64_t count = std::min(window, length), first = std::min(w * window, length - count);
        ASSERT_EQ(static_cast<int64_t>(got.frames.size()), count * kBins);
        EXPECT_EQ(got.document_starts.size(), w == 0 ? 1u : 0u);
        for (int64_t i = 0; i < count * kBins; ++i) {
          ASSERT_NEAR(got.frames[static_cast<size_t>(i)] * spec.deviation + spec.mean, value((start + first) * kBins + i), 1e-5);
        }
        for (int64_t t = first; t < first + count; ++t) covered[static_cast<size_t>(t)] = 1;
      }
      EXPECT_EQ(std::accumulate(covered.begin(), covered.end(), 0), length);
      start += length;
    }
    EXPECT_EQ(corpus.size(), sample);
    expect_error(ExitCode::internal, "was asked for", [&] { corpus.at(sample); });
    expect_error(ExitCode::internal, "was asked for", [&] { corpus.at(-1); });
  }
  expect_error(ExitCode::usage, "windows of 1 to", [&] { FrameCorpus(path, 0); });
}

TEST(FrameCorpus, SaysWhatItHolds) {
  const TemporaryFolder folder;
  const auto path = written(folder);
  const auto spec = corpus_spec(path);
  EXPECT_EQ(spec.kind, "frames");
  EXPECT_EQ(spec.documents, 5);
  EXPECT_EQ(spec.frames.frames, 31);
  EXPECT_EQ(spec.frames.bins, kBins);
  EXPECT_EQ(spec.frames.sample_rate, 8000);
  EXPECT_EQ(spec.tokens, 0);
  EXPECT_EQ(spec.content_hash.size(), 64u);
  ASSERT_EQ(spec.frames.labels.size(), 2u);
  EXPECT_EQ(spec.frames.labels[0].classes, (std::vector<std::string>{"0", "9", "10"}));  // as numbers
  EXPECT_EQ(spec.frames.labels[1].classes, (std::vector<std::string>{"ann", "theo"}));
  const FrameCorpus corpus(path, 100);
  EXPECT_EQ(corpus.at(0).labels, (std::vector<int32_t>{2, 1}));
  EXPECT_EQ(corpus.at(2).labels, (std::vector<int32_t>{2, -1}));
  EXPECT_EQ(corpus.features(), R"({"kind": "test"})");
}

TEST(FrameCorpus, ValuesAreNormalisedByTheStoredStatistics) {
  const TemporaryFolder folder;
  double sum = 0, squares = 0;
  int64_t count = 0;
  const FrameCorpus corpus(written(folder), 7);
  const FrameCorpus whole(folder / "f.h5", 100);
  for (int64_t i = 0; i < whole.size(); ++i) {
    for (const float x : whole.at(i).frames) sum += x, squares += x * x, ++count;
  }
  EXPECT_NEAR(sum / static_cast<double>(count), 0, 1e-6);
  EXPECT_NEAR(squares / static_cast<double>(count), 1, 1e-6);

  const std::string own_hash = corpus.spec().content_hash;
  const FrameCorpus other(written(folder, FrameStatistics{.mean = 2, .deviation = 4}), 100);
  EXPECT_NE(other.spec().content_hash, own_hash);  // training would see other values
  EXPECT_FLOAT_EQ(other.at(0).frames[3], (value(3) - 2) / 4);
}

TEST(FrameCorpus, TheKindOfAFileDecidesWhoReadsIt) {
  const TemporaryFolder folder;
  const auto path = written(folder);
  probe_corpus(path);
  verify_corpus(path);
  EXPECT_EQ(open_corpus(path, 4, 3)->size(), FrameCorpus(path, 4).size());
  expect_error(ExitCode::data, "lacuna prepare --text", [&] { Hdf5Corpus(path, 4, 1); });
  change(path, [](hid_t file) {
    H5Adelete(file, "kind");
    const hid_t space = H5Screate(H5S_SCALAR), type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, 7);
    const hid_t kind = H5Acreate2(file, "kind", type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(kind, type, "meshes");
    H5Aclose(kind);
    H5Tclose(type);
    H5Sclose(space);
  });
  expect_error(ExitCode::data, "it holds meshes", [&] { open_corpus(path, 4, 1); });
  expect_error(ExitCode::data, "it holds meshes", [&] { FrameCorpus(path, 4); });
}

TEST(FrameCorpus, WhatContradictsItselfIsRefused) {
  const auto integer = [](const char* name, int64_t value) {
    return [=](hid_t file) {
      const hid_t attribute = H5Aopen(file, name, H5P_DEFAULT);
      H5Awrite(attribute, H5T_NATIVE_INT64, &value);
      H5Aclose(attribute);
    };
  };
  const auto number = [](const char* name, double value) {
    return [=](hid_t file) {
      const hid_t attribute = H5Aopen(file, name, H5P_DEFAULT);
      H5Awrite(attribute, H5T_NATIVE_DOUBLE, &value);
      H5Aclose(attribute);
    };
  };
  refused("its bins is 0", integer("bins", 0));
  refused("its bins is 1000000", integer("bins", 1'000'000));
  refused("no whole number of frames", integer("bins", 4));
  refused("its channels is -1", integer("channels", -1));
  refused("its sample_rate is -5", integer("sample_rate", -5));
  refused("its format version is 2", integer("format_version", 2));
  refused("do not normalise", number("deviation", 0));
  refused("do not normalise", number("deviation", NAN));
  refused("do not normalise", number("mean", INFINITY));
  refused("do not have the hash", number("mean", 0.5));
  refused("document 1 starts at frame 40", [](hid_t file) {
    write<uint64_t>(file, "documents", H5T_STD_U64LE, {0, 40, 50, 60, 70});
  });
  refused("it stores 4 labels of 5 documents", [](hid_t file) { write<int32_t>(file, "labels", H5T_STD_I32LE, {0, 0, 0, 0}); });
  refused("has the digit number 3 of 3", [](hid_t file) {
    write<int32_t>(file, "labels", H5T_STD_I32LE, {0, 0, 1, 1, 3, 0, 0, 0, 0, 0});
  });
  refused("has the speaker number -2", [](hid_t file) {
    write<int32_t>(file, "labels", H5T_STD_I32LE, {0, 0, 1, -2, 0, 0, 0, 0, 0, 0});
  });
  for (const std::string text :
       {"", "{}", "[1]", R"([{"name": "a", "classes": ["x", "x"]}])", R"([{"name": "", "classes": []}])"}) {
    refused("no list of names", [&](hid_t file) {
      write<uint8_t>(file, "label_classes", H5T_STD_U8LE, std::vector<uint8_t>(text.begin(), text.end()));
    });
  }
  refused("dataset frames is missing", [](hid_t file) { H5Ldelete(file, "frames", H5P_DEFAULT); });
  refused("holds values of another type. Store them as little-endian float32",
          [](hid_t file) { write<double>(file, "frames", H5T_IEEE_F64LE, std::vector<double>(93)); });
}

TEST(FrameCorpus, AValueThatIsNotFiniteIsNamedWithItsPlace) {
  const TemporaryFolder folder;
  const auto path = written(folder);
  std::vector<float> values(93, 1.0F);
  values[40] = NAN;
  change(path, [&](hid_t file) { write(file, "frames", H5T_IEEE_F32LE, values); });
  const FrameCorpus corpus(path, 5);
  EXPECT_EQ(corpus.at(0).frames.size(), 15u);
  expect_error(ExitCode::data, "a value of frame 13 is not a finite number", [&] {
    for (int64_t i = 0; i < corpus.size(); ++i) corpus.at(i);
  });
}

TEST(FrameWriter, RefusesWhatMakesNoCorpus) {
  const TemporaryFolder folder;
  FrameWriter writer(folder / "f.h5", {.bins = 2, .labels = {}}, "{}", {});
  expect_error(ExitCode::data, "there are no frames", [&] { writer.finish(); });
  const std::vector<float> bad = {1, INFINITY};
  expect_error(ExitCode::data, "a.wav: a value", [&] { writer.add_document(bad, {}, "a.wav"); });
  writer.add_document(std::vector<float>{3, 3}, {}, "b.wav");
  EXPECT_EQ(writer.statistics().deviation, 1);  // of a constant
  writer.finish();
  const FrameCorpus corpus(folder / "f.h5", 4);
  EXPECT_TRUE(corpus.at(0).labels.empty());
  EXPECT_EQ(corpus.at(0).frames, (std::vector<float>{0, 0}));
}

TEST(SyntheticFrames, ATonesCourseIsItsClass) {
  const SyntheticFrames corpus({.size = 40, .noise = 0});
  const auto& spec = corpus.spec().frames;
  int64_t frames = 0;
  std::vector<int> seen(4);
  for (int64_t i = 0; i < corpus.size(); ++i) {
    const Sample sample = corpus.at(i);
    EXPECT_EQ(sample.frames, corpus.at(i).frames);
    const auto length = static_cast<int64_t>(sample.frames.size()) / spec.bins;
    frames += length;
    EXPECT_TRUE(length >= 24 && length <= 40);
    const auto loudest = [&](int64_t t) {
      const auto column = sample.frames.begin() + t * spec.bins;
      return std::max_element(column, column + spec.bins) - column;
    };
    const int64_t course = (loudest(0) >= 8 ? 2 : 0) + (loudest(length - 1) >= 8 ? 1 : 0);
    EXPECT_EQ(sample.labels, std::vector<int32_t>{static_cast<int32_t>(course)});
    ++seen[static_cast<size_t>(course)];
  }
  EXPECT_EQ(spec.frames, frames);
  EXPECT_GT(*std::min_element(seen.begin(), seen.end()), 0);
  EXPECT_NE(corpus.at(0).frames, SyntheticFrames({.seed = 2, .noise = 0}).at(0).frames);
  expect_error(ExitCode::data, "at least 1", [] { SyntheticFrames({.levels = 0}); });
}

}  // namespace
}  // namespace lacuna
