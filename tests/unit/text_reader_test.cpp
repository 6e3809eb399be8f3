#include "data/text_reader.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>

#include "data/progress.h"
#include "data/random.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;
using Documents = std::vector<std::string>;

constexpr auto kAnywhere = [](std::string_view text) { return text.size(); };

void write(const std::filesystem::path& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

std::string gzipped(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Documents documents_of(const TextOptions& options, const TextReader::Cut& cut = kAnywhere) {
  TextReader reader(options, cut);
  Documents documents;
  TextPart part;
  bool inside = false;
  while (reader.next(part)) {
    EXPECT_EQ(part.begins_document, !inside);
    EXPECT_LE(part.text.size(), options.part_bytes);
    if (part.begins_document) documents.emplace_back();
    documents.back() += part.text;
    inside = !part.ends_document;
  }
  EXPECT_FALSE(inside);
  EXPECT_EQ(reader.stored_read(), reader.stored_size());
  return documents;
}

TEST(TextReader, UnitsOfAPlainFile) {
  const TemporaryFolder folder;
  write(folder / "a.txt", "one\ntwo\r\n\n\n  \nthree\nfour\n\n\nfive");
  TextOptions options{.files = {folder / "a.txt"}};
  EXPECT_EQ(documents_of(options), (Documents{"one\ntwo\r\n\n\n  \nthree\nfour\n\n\nfive"}));
  options.documents = DocumentUnit::line;
  EXPECT_EQ(documents_of(options), (Documents{"one", "two", "  ", "three", "four", "five"}));
  options.documents = DocumentUnit::block;
  EXPECT_EQ(documents_of(options), (Documents{"one\ntwo", "three\nfour", "five"}));
}

TEST(TextReader, SeveralFilesAndEmptyOnes) {
  const TemporaryFolder folder;
  write(folder / "a", "x\n");
  write(folder / "b", "");
  write(folder / "c", gzipped("y\nz\n"));
  TextOptions options{.files = {folder / "a", folder / "b", folder / "c"}};
  EXPECT_EQ(documents_of(options), (Documents{"x\n", "y\nz\n"}));
  options.documents = DocumentUnit::line;
  EXPECT_EQ(documents_of(options), (Documents{"x", "y", "z"}));
  options.documents = DocumentUnit::block;
  EXPECT_EQ(documents_of(options), (Documents{"x", "y\nz"}));
}

// However small the parts, and wherever the reads and cuts fall, the documents are the same.
TEST(TextReader, PartsAddUpToTheDocument) {
  const TemporaryFolder folder;
  Random random(1, 0);
  for (int i = 0; i < 60; ++i) {
    std::string text;
    for (int64_t k = random.below(400); k > 0; --k) text += "ab \n\n\r"[random.below(6)];
    write(folder / "a", text);
    for (const DocumentUnit unit : {DocumentUnit::file, DocumentUnit::line, DocumentUnit::block}) {
      TextOptions options{.files = {folder / "a"}, .documents = unit};
      const Documents whole = documents_of(options);
      for (const size_t part : {1, 3, 16}) {
        options.part_bytes = part;
        // A part that is line breaks alone cannot be cut where nothing else is near.
        options.part_bytes += unit == DocumentUnit::file ? 0 : text.size() > 0 ? 8 : 0;
        EXPECT_EQ(documents_of(options), whole) << part;
      }
    }
  }
}

TEST(TextReader, LongDocumentsAreCutWhereTheTokenizerAllows) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 700'000; ++i) text += "word ";
  write(folder / "a", text);
  TextOptions options{.files = {folder / "a"}, .part_bytes = 1 << 20};
  const auto after_space = [](std::string_view part) { return part.rfind(' ') + 1; };
  TextReader reader(options, after_space);
  TextPart part;
  std::string joined;
  int parts = 0;
  while (reader.next(part)) {
    EXPECT_TRUE(part.ends_document || part.text.ends_with(' '));
    joined += part.text;
    ++parts;
  }
  EXPECT_EQ(joined, text);
  EXPECT_EQ(parts, 4);
}

TEST(TextReader, ALongDocumentThatCannotBeCutIsRefused) {
  const TemporaryFolder folder;
  write(folder / "a", gzipped(std::string(70 << 20, 'x')));
  expect_error(ExitCode::data, "Use --documents line or block, or --tokenizer bytes", [&] {
    TextReader reader({.files = {folder / "a"}}, [](std::string_view) { return size_t{0}; });
    TextPart part;
    while (reader.next(part)) continue;
  });
}

TEST(TextReader, JsonLines) {
  const TemporaryFolder folder;
  const std::string lines = R"({"id": 1, "text": "first\nline", "meta": {"text": "not this"}})"
                            "\n\n"
                            R"({"text": "caf\u00e9", "body": "other"})"
                            "\r\n"
                            R"({"text": "", "body": "third"})";
  write(folder / "a.jsonl", lines);
  write(folder / "b.jsonl.gz", gzipped(R"({"text": "zipped"})"));
  EXPECT_EQ(documents_of({.files = {folder / "a.jsonl", folder / "b.jsonl.gz"}}), (Documents{"first\nline", "café", "zipped"}));
  write(folder / "c.data", R"({"body": "named"})");
  EXPECT_EQ(documents_of({.files = {folder / "c.data"}, .field = "body"}), (Documents{"named"}));
}

TEST(TextReader, ABadJsonLineIsNamed) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& line, const std::string& words) {
    write(folder / "a.jsonl", "{\"text\": \"good\"}\n" + line + "\n");
    expect_error(ExitCode::data, words, [&] { documents_of({.files = {folder / "a.jsonl"}}); });
  };
  refused("{\"text\": \"open", "a.jsonl:2: not valid JSON");
  refused("{\"text\": \"open", "Mend or remove the line");
  refused("{\"body\": \"x\"}",
          "a.jsonl:2: no text in the field \"text\". Mend or remove the line, or name the field with --field.");
  refused("{\"text\": 7}", "no text in the field");
  refused("{\"text\": [\"x\"]}", "no text in the field");
  refused("{\"text\": \"a\", \"text\": \"b\"}", "two fields \"text\"");
  refused("[\"text\"]", "not an object in braces");
  refused("\"text\"", "no text in the field");
  refused("{\"text\": \"\xff\"}", "not valid JSON");
  refused(std::string(5'000'000, '['), "not an object in braces");
  refused("{\"a\":" + std::string(5'000'000, '['), "not valid JSON");
  expect_error(ExitCode::usage, "leave --documents out",
               [&] { documents_of({.files = {folder / "a.jsonl"}, .documents = DocumentUnit::block}); });
}

TEST(TextReader, GzipOfSeveralMembersIsOneText) {
  const TemporaryFolder folder;
  write(folder / "a.gz", gzipped("one ") + gzipped("") + gzipped("two") + std::string(512, '\0'));
  EXPECT_EQ(documents_of({.files = {folder / "a.gz"}}), (Documents{"one two"}));
}

TEST(TextReader, DamagedGzipIsRefused) {
  const TemporaryFolder folder;
  Random random(2, 0);
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += static_cast<char>(32 + random.below(90));
  const std::string good = gzipped(text);
  const auto refused = [&](const std::string& bytes, const std::string& words) {
    write(folder / "a.gz", bytes);
    expect_error(ExitCode::data, words, [&] { documents_of({.files = {folder / "a.gz"}}); });
  };
  for (const size_t size : {size_t{2}, size_t{10}, good.size() / 2, good.size() - 1})
    refused(good.substr(0, size), "is cut short");
  std::string flipped = good;
  flipped[flipped.size() / 2] ^= 4;
  refused(flipped, "Copy or download it again");
  refused(good + "trailing", "damaged gzip data");
  expect_error(ExitCode::data, "Check its name", [&] { documents_of({.files = {folder / "absent"}}); });
  expect_error(ExitCode::data, "Write it to a file first", [&] { documents_of({.files = {"/dev/null"}}); });
  expect_error(ExitCode::data, "is a folder. Name its files", [&] { documents_of({.files = {folder.path()}}); });
}

TEST(Progress, SaysShareRateAndTimeLeft) {
  const Progress progress("Tokenising", 4'000'000, "B");
  EXPECT_EQ(progress.line(1'000'000, 2), "Tokenising  [######..................]  25%  1.00 MB of 4.00 MB  500 kB/s  0:06 left");
  EXPECT_EQ(progress.line(4'000'000, 7300),
            "Tokenising  [########################] 100%  4.00 MB of 4.00 MB  548 B/s  in 2:01:40");
  EXPECT_EQ(Progress("Reading", 0, "lines").line(12, 1), "Reading  12 lines  12 lines/s  in 0:01");
}

}  // namespace
}  // namespace lacuna
