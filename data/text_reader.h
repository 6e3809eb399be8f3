// The documents of text files, one after the other: plain text, gzip, and JSON lines (.jsonl, .ndjson, also gzipped). Memory does
// not grow with a file, nor with a document, which comes in parts when it is long.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/byte_source.h"

namespace lacuna {

enum class DocumentUnit {
  file,   // the whole file
  line,   // a line, without its line break
  block,  // lines up to one that is blank, without the line break before it
};

struct TextOptions {
  std::vector<std::filesystem::path> files{};
  std::optional<DocumentUnit> documents{};  // unset: file for plain text; each line of a JSON lines file is a document
  std::optional<std::string> field{};       // of a JSON line; unset: text, and files are JSON lines by their names alone
  size_t part_bytes = 8 << 20;              // documents above this size come in parts
};

struct TextPart {
  std::string_view text;  // until the next call; may be empty only where a document ends
  bool begins_document = true;
  bool ends_document = true;
};

class TextReader {
 public:
  // Where a text may be cut into parts; 0 for nowhere. See Tokenizer::safe_cut.
  using Cut = std::function<size_t(std::string_view)>;
  TextReader(TextOptions options, Cut cut);

  // False after the last document. Empty documents are left out. Throws Error(data) for a file that cannot be read or is
  // damaged, naming file and line for a bad JSON line, and for a long document that cannot be cut.
  bool next(TextPart& part);

  // The input is a single file that is one document.
  bool is_one_document() const;
  int64_t stored_size() const { return stored_size_; }  // of all files on disk
  int64_t stored_read() const { return stored_done_ + (source_ ? source_->stored_read() : 0); }

 private:
  struct End {
    size_t content;  // the document ends here
    size_t next;     // and the next one begins here
  };
  bool open_next();
  bool fill();
  std::optional<End> find_end();
  std::optional<size_t> find_cut(std::string_view text, bool all_of_it) const;
  bool next_plain(TextPart& part);
  size_t last_content_end() const;
  bool next_json(TextPart& part);
  bool next_json_line();
  std::string where() const;

  TextOptions options_;
  Cut cut_;
  size_t file_ = 0;  // the next one to open
  std::optional<ByteSource> source_;
  bool json_ = false;
  DocumentUnit unit_ = DocumentUnit::file;
  int64_t stored_size_ = 0, stored_done_ = 0;
  std::string buffer_;  // read and not yet given out: from begin_
  size_t begin_ = 0;
  size_t scanned_ = 0;     // no document ends before this place
  bool mid_line_ = false;  // scanned_ is not where a line begins
  bool source_ended_ = false;
  bool continuing_ = false;  // the last part did not end its document
  int64_t line_ = 0;         // of a JSON lines file
  std::string json_text_;    // of the current line
  size_t json_given_ = 0;
};

}  // namespace lacuna
