#include "data/prepare.h"

#include <gtest/gtest.h>

#include <fstream>

#include "data/hdf5_corpus.h"
#include "data/random.h"
#include "data/tokenizer/tokenizer.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

void write(const std::filesystem::path& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

// All tokens of a corpus, and where its documents begin.
Sample everything(const std::filesystem::path& path) {
  const auto spec = Hdf5Corpus::open_spec(path);
  return Hdf5Corpus(path, spec.tokens, 1).at(0);
}

constexpr const char* kWords[] = {" of the text",    " that walks",     " under bridges",  " quickly",
                                  " and jumps home", " before morning", " over five foxes"};

std::string lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "line " + std::to_string(i) + kWords[i % 7] + kWords[i % 5] + "\n";
  return text;
}

TEST(Prepare, BytesGoInAndComeBack) {
  const TemporaryFolder folder;
  const std::string text = "First.\n\nSecond \xff caf\xc3\xa9.\n";
  write(folder / "a.txt", text);
  const PrepareReport report = prepare_text({.text = {.files = {folder / "a.txt"}}, .out = folder / "a.h5"}, false);
  EXPECT_EQ(report.train.documents, 1);
  EXPECT_EQ(report.train.bytes, static_cast<int64_t>(text.size()));
  EXPECT_EQ(report.train.tokens, static_cast<int64_t>(text.size()) + 1);
  EXPECT_EQ(report.tokenizer, "bytes");
  EXPECT_FALSE(report.validation);
  const auto spec = Hdf5Corpus::open_spec(folder / "a.h5");
  EXPECT_EQ(spec.bytes, report.train.bytes);
  EXPECT_EQ(spec.content_hash, report.train.content_hash);
  EXPECT_EQ(spec.tokenizer->name(), "bytes");
  const Sample all = everything(folder / "a.h5");
  EXPECT_EQ(all.tokens.back(), spec.tokenizer->end_token());
  EXPECT_EQ(spec.tokenizer->decode(all.tokens), text);
}

TEST(Prepare, EveryDocumentEndsWithTheEndToken) {
  const TemporaryFolder folder;
  write(folder / "a.txt", "one\ntwo\n\nthree\n");
  for (const char* tokenizer : {"bytes", "gpt2"}) {
    PrepareOptions options{
        .text = {.files = {folder / "a.txt"}, .documents = DocumentUnit::line}, .tokenizer = tokenizer, .out = folder / "a.h5"};
    options.force = true;
    if (options.tokenizer == "gpt2") options.vocabulary = "tests/golden/tokenizer/byte_pair.json";
    EXPECT_EQ(prepare_text(options, false).train.documents, 3);
    const Sample all = everything(folder / "a.h5");
    ASSERT_EQ(all.document_starts.size(), 3u);
    const int32_t end = Hdf5Corpus::open_spec(folder / "a.h5").tokenizer->end_token();
    EXPECT_EQ(std::count(all.tokens.begin(), all.tokens.end(), end), 3);
    EXPECT_EQ(all.tokens[all.document_starts[1] - 1], end);
    EXPECT_EQ(all.tokens[all.document_starts[2] - 1], end);
    EXPECT_EQ(all.tokens.back(), end);
  }
}

TEST(Prepare, PartsOfALongDocumentGiveTheTokensOfTheWhole) {
  const TemporaryFolder folder;
  write(folder / "a.txt", lines(3000));
  for (const char* tokenizer : {"bytes", "gpt2", "sentencepiece"}) {
    PrepareOptions options{
        .text = {.files = {folder / "a.txt"}}, .tokenizer = tokenizer, .out = folder / "whole.h5", .force = true};
    if (options.tokenizer == "gpt2") options.vocabulary = "tests/golden/tokenizer/byte_pair";
    if (options.tokenizer == "sentencepiece") options.vocabulary_size = 300;
    const PrepareReport whole = prepare_text(options, false);
    options.out = folder / "parts.h5";
    options.text.part_bytes = 5000;
    const PrepareReport parts = prepare_text(options, false);
    EXPECT_EQ(parts.train.content_hash, whole.train.content_hash) << tokenizer;
    EXPECT_EQ(parts.train.documents, 1);
    EXPECT_EQ(parts.train.bytes, whole.train.bytes);
  }
}

TEST(Prepare, ValidationTakesAFixedShareOfTheDocuments) {
  const TemporaryFolder folder;
  write(folder / "a.txt", lines(5000));
  PrepareOptions options{.text = {.files = {folder / "a.txt"}, .documents = DocumentUnit::line},
                         .out = folder / "t.h5",
                         .validation_fraction = 0.1,
                         .validation_out = folder / "v.h5"};
  const PrepareReport report = prepare_text(options, false);
  ASSERT_TRUE(report.validation);
  EXPECT_EQ(report.train.documents + report.validation->documents, 5000);
  EXPECT_NEAR(static_cast<double>(report.validation->documents), 500, 80);
  // The same documents under another tokenizer.
  options.tokenizer = "gpt2";
  options.vocabulary = "tests/golden/tokenizer/byte_pair";
  options.force = true;
  const auto bytes_text = Hdf5Corpus::open_spec(folder / "v.h5").tokenizer->decode(everything(folder / "v.h5").tokens);
  prepare_text(options, false);
  EXPECT_EQ(Hdf5Corpus::open_spec(folder / "v.h5").tokenizer->decode(everything(folder / "v.h5").tokens), bytes_text);
}

TEST(Prepare, OfASingleDocumentTheEndIsForValidation) {
  const TemporaryFolder folder;
  const std::string text = lines(4000);
  write(folder / "a.txt", text);
  PrepareOptions options{.text = {.files = {folder / "a.txt"}},
                         .out = folder / "t.h5",
                         .validation_fraction = 0.1,
                         .validation_out = folder / "v.h5",
                         .force = true};
  const auto text_of = [&](const char* name) {
    return Hdf5Corpus::open_spec(folder / name).tokenizer->decode(everything(folder / name).tokens);
  };
  for (const size_t part_bytes : {size_t{1000}, size_t{8} << 20}) {
    options.text.part_bytes = part_bytes;
    const PrepareReport report = prepare_text(options, false);
    EXPECT_EQ(report.train.documents, 1);
    EXPECT_EQ(report.validation->documents, 1);
    EXPECT_NEAR(static_cast<double>(report.validation->bytes), static_cast<double>(text.size()) * 0.1, 100);
    EXPECT_EQ(text_of("t.h5") + text_of("v.h5"), text);
    EXPECT_TRUE(text_of("v.h5").starts_with("line 3"));
  }
}

TEST(Prepare, ATextWithoutLineBreaksPartsBetweenCharacters) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += "é";
  write(folder / "a.txt", text);
  const PrepareReport report = prepare_text({.text = {.files = {folder / "a.txt"}},
                                             .out = folder / "t.h5",
                                             .validation_fraction = 0.5,
                                             .validation_out = folder / "v.h5"},
                                            false);
  EXPECT_EQ(report.train.bytes + report.validation->bytes, 600'000);
  EXPECT_EQ(report.train.bytes % 2, 0);
}

TEST(Prepare, ASentencepieceModelIsTrainedOnTheText) {
  const TemporaryFolder folder;
  write(folder / "a.txt", lines(2000));
  const PrepareReport report = prepare_text({.text = {.files = {folder / "a.txt"}, .documents = DocumentUnit::line},
                                             .tokenizer = "sentencepiece",
                                             .vocabulary_size = 312,
                                             .out = folder / "s.h5"},
                                            false);
  EXPECT_EQ(report.vocabulary_size, 312);
  EXPECT_LT(report.train.tokens, report.train.bytes * 3 / 4);
  const auto spec = Hdf5Corpus::open_spec(folder / "s.h5");
  EXPECT_TRUE(spec.tokenizer->decode(everything(folder / "s.h5").tokens)
                  .starts_with("line 0 of the text of the textline 1 that walks that walks"));
}

TEST(Prepare, OptionsThatContradictEachOtherAreExplained) {
  const TemporaryFolder folder;
  write(folder / "a.txt", "text");
  const PrepareOptions good{.text = {.files = {folder / "a.txt"}}, .out = folder / "a.h5"};
  const auto refused = [&](const std::string& words, auto change) {
    PrepareOptions options = good;
    change(options);
    expect_error(ExitCode::usage, words, [&] { prepare_text(options, false); });
    EXPECT_FALSE(std::filesystem::exists(folder / "a.h5"));
  };
  refused("--text FILE", [](auto& o) { o.text.files.clear(); });
  refused("--out FILE", [](auto& o) { o.out.clear(); });
  refused("given together", [](auto& o) { o.validation_fraction = 0.1; });
  refused("given together", [&](auto& o) { o.validation_out = folder / "v.h5"; });
  refused("at least 0 and below 1", [&](auto& o) { o.validation_fraction = 1.5; });
  refused("name the same file", [&](auto& o) {
    o.validation_fraction = 0.1;
    o.validation_out = folder / "a.h5";
  });
  refused("gpt2 needs --vocabulary", [](auto& o) { o.tokenizer = "gpt2"; });
  refused("takes no --vocabulary", [](auto& o) { o.vocabulary = "x"; });
  refused("without --vocabulary, which trains", [](auto& o) { o.vocabulary_size = 500; });
  refused("there are bytes, gpt2, sentencepiece", [](auto& o) { o.tokenizer = "byte"; });
  refused("is a folder; name a file with --out", [&](auto& o) { o.out = folder.path(); });
  prepare_text(good, false);
  expect_error(ExitCode::usage, "exists. Replace it with --force", [&] { prepare_text(good, false); });
}

TEST(Prepare, NoTextIsExplainedAndLeavesNothing) {
  const TemporaryFolder folder;
  write(folder / "empty.txt", "");
  write(folder / "one.txt", "a single line\n");
  expect_error(ExitCode::data, "Name files that do with --text",
               [&] { prepare_text({.text = {.files = {folder / "empty.txt"}}, .out = folder / "a.h5"}, false); });
  PrepareOptions options{.text = {.files = {folder / "one.txt"}, .documents = DocumentUnit::line},
                         .out = folder / "a.h5",
                         .validation_fraction = 0.01,
                         .validation_out = folder / "v.h5"};
  expect_error(ExitCode::data, "none fell to validation. Raise --validation-fraction", [&] { prepare_text(options, false); });
  options.text.documents.reset();
  expect_error(ExitCode::data, "none fell to validation", [&] { prepare_text(options, false); });
  EXPECT_FALSE(std::filesystem::exists(folder / "a.h5"));
  EXPECT_FALSE(std::filesystem::exists(folder / "v.h5"));
}

}  // namespace
}  // namespace lacuna
