#include "data/text_reader.h"

#include <algorithm>

#include "data/error.h"
#include "data/json_field.h"

namespace lacuna {
namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr size_t kMaxUncut = 64 << 20;  // a document that cannot be cut, or a JSON line, is held in memory up to this size

bool is_json_lines(std::filesystem::path path) {
  if (path.extension() == ".gz") path = path.stem();
  return path.extension() == ".jsonl" || path.extension() == ".ndjson";
}

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

std::string_view without_return(std::string_view line) { return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line; }

}  // namespace

TextReader::TextReader(TextOptions options, Cut cut) : options_(std::move(options)), cut_(std::move(cut)) {
  for (const auto& path : options_.files) {
    const bool json = options_.field || is_json_lines(path);
    if (json && options_.documents.value_or(DocumentUnit::line) != DocumentUnit::line) {
      throw usage_error(path.string() + " holds JSON lines, and each is a document; leave --documents out.");
    }
    stored_size_ += ByteSource(path).stored_size();
  }
}

bool TextReader::is_one_document() const {
  return options_.files.size() == 1 && !options_.field && !is_json_lines(options_.files[0]) &&
         options_.documents.value_or(DocumentUnit::file) == DocumentUnit::file;
}

bool TextReader::open_next() {
  if (file_ == options_.files.size()) return false;
  const auto& path = options_.files[file_++];
  source_.emplace(path);
  json_ = options_.field || is_json_lines(path);
  unit_ = json_ ? DocumentUnit::line : options_.documents.value_or(DocumentUnit::file);
  buffer_.clear();
  begin_ = scanned_ = 0;
  source_ended_ = continuing_ = mid_line_ = false;
  line_ = 0;
  return true;
}

std::string TextReader::where() const {
  const std::string path = options_.files[file_ - 1].string();
  return json_ ? path + ":" + std::to_string(line_) : path;
}

bool TextReader::fill() {
  buffer_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;
  const size_t size = buffer_.size();
  buffer_.resize(size + kReadBytes);
  const size_t count = source_->read(buffer_.data() + size, kReadBytes);
  buffer_.resize(size + count);
  source_ended_ = count == 0;
  return !source_ended_;
}

std::optional<TextReader::End> TextReader::find_end() {
  if (unit_ == DocumentUnit::file) return std::nullopt;
  const std::string_view text = buffer_;
  while (true) {
    const size_t newline = text.find('\n', scanned_);
    if (newline == std::string_view::npos) {
      // A block is looked at line by line, so its last line is looked at again once more of it is here.
      if (unit_ == DocumentUnit::line) scanned_ = text.size();
      return std::nullopt;
    }
    const size_t line = scanned_;
    const bool whole_line = !mid_line_;
    scanned_ = newline + 1;
    mid_line_ = false;
    if (unit_ == DocumentUnit::line) {
      const std::string_view content = without_return(text.substr(begin_, newline - begin_));
      return End{begin_ + content.size(), newline + 1};
    }
    if (!whole_line || !is_blank(text.substr(line, newline - line))) continue;
    std::string_view content = text.substr(begin_, line - begin_);
    if (content.ends_with('\n')) content.remove_suffix(1);
    return End{begin_ + without_return(content).size(), newline + 1};
  }
}

// How much of `text` is the next part, once there is enough of it to say so.
std::optional<size_t> TextReader::find_cut(std::string_view text, bool all_of_it) const {
  if (text.size() <= options_.part_bytes) return all_of_it ? std::optional(text.size()) : std::nullopt;
  for (size_t window = options_.part_bytes; window <= std::max(kMaxUncut, options_.part_bytes); window *= 2) {
    size_t cut = cut_(text.substr(0, window));
    // A line break before the cut might turn out to be the one that ends the document, which is no part of it.
    while (unit_ != DocumentUnit::file && cut > 0 && (text[cut - 1] == '\n' || text[cut - 1] == '\r'))
      cut = cut_(text.substr(0, cut - 1));
    if (cut > 0) return cut;
    if (window >= text.size()) return all_of_it ? std::optional(text.size()) : std::nullopt;
  }
  throw data_error(
      where() + ": a document has " + std::to_string(kMaxUncut >> 20) +
      " MiB without a place where it can be cut and keep its tokens. Use --documents line or block, or --tokenizer bytes.");
}

bool TextReader::next(TextPart& part) {
  while (true) {
    if (!source_ && !open_next()) return false;
    if (json_ ? next_json(part) : next_plain(part)) return true;
    stored_done_ += source_->stored_read();
    source_.reset();
  }
}

// False when the file holds no more.
bool TextReader::next_plain(TextPart& part) {
  const auto give = [&](size_t end, size_t next_begin, bool ends) {
    part = {std::string_view(buffer_).substr(begin_, end - begin_), !continuing_, ends};
    begin_ = next_begin;
    if (!ends || scanned_ < begin_) {
      scanned_ = begin_;
      mid_line_ = !ends;  // a cut never follows a line break
    }
    continuing_ = !ends;
    return !part.text.empty() || !part.begins_document;
  };
  while (true) {
    if (const auto end = find_end()) {
      // A long document is given out in parts even when its end is in sight.
      const size_t cut = begin_ + *find_cut(std::string_view(buffer_).substr(begin_, end->content - begin_), true);
      if (cut < end->content) return give(cut, cut, false);
      if (give(end->content, end->next, true)) return true;
      continue;
    }
    const auto cut = find_cut(std::string_view(buffer_).substr(begin_), source_ended_);
    if (cut && begin_ + *cut < buffer_.size()) return give(begin_ + *cut, begin_ + *cut, false);
    if (source_ended_) return (begin_ < buffer_.size() || continuing_) && give(last_content_end(), buffer_.size(), true);
    fill();
  }
}

// Where the last document of the file ends: the line break at the end of the file is no part of a line or block.
size_t TextReader::last_content_end() const {
  std::string_view rest = std::string_view(buffer_).substr(begin_);
  if (unit_ == DocumentUnit::file) return buffer_.size();
  if (rest.ends_with('\n')) rest.remove_suffix(1);
  return begin_ + without_return(rest).size();
}

bool TextReader::next_json_line() {
  while (true) {
    std::optional<End> end = find_end();
    if (!end) {
      if (!source_ended_) {
        if (buffer_.size() - begin_ > kMaxUncut) {
          ++line_;
          throw data_error(where() + ": the line is longer than " + std::to_string(kMaxUncut >> 20) + " MiB. Split it up.");
        }
        fill();
        continue;
      }
      if (begin_ == buffer_.size()) return false;
      end = End{buffer_.size(), buffer_.size()};
    }
    const std::string_view line = std::string_view(buffer_).substr(begin_, end->content - begin_);
    begin_ = end->next;
    ++line_;
    if (is_blank(line)) continue;
    try {
      json_text_ = json_text_field(line, options_.field.value_or("text"));
    } catch (const Error& error) {
      throw data_error(where() + ": " + error.what() + ". Mend or remove the line" +
                       (options_.field ? "." : ", or name the field with --field."));
    }
    json_given_ = 0;
    if (!json_text_.empty()) return true;
  }
}

bool TextReader::next_json(TextPart& part) {
  if (json_given_ == json_text_.size() && !next_json_line()) {
    json_text_.clear();
    json_given_ = 0;
    return false;
  }
  const std::string_view rest = std::string_view(json_text_).substr(json_given_);
  const size_t size = *find_cut(rest, true);
  part = {rest.substr(0, size), json_given_ == 0, size == rest.size()};
  json_given_ += size;
  return true;
}

}  // namespace lacuna
