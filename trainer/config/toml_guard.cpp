#include "trainer/config/toml_guard.h"

#include <algorithm>
#include <string>
#include <vector>

namespace lacuna {
namespace {

bool is_beyond_ascii(char c) { return static_cast<unsigned char>(c) >= 0x80; }

// Follows strings, comments and brackets as TOML does. On text that is not TOML it may lose its way after the mistake, where the
// parser no longer reads.
class Guard {
 public:
  Guard(std::string_view text, const std::shared_ptr<const Source>& source) : text_(text), source_(source) {}

  void check() const {
    if (text_.size() > kMaxTomlBytes) fail(0, "the text has more bytes than a config may have, " + std::to_string(kMaxTomlBytes));
    std::vector<size_t> open;  // the depth at which each open bracket stands
    size_t depth = 0;
    char before = '\n';  // the last character that is not a blank
    for (size_t i = text_.starts_with("\xef\xbb\xbf") ? 3 : 0; i < text_.size();) {
      const char c = text_[i];
      if (c == '"' || c == '\'') {
        // The parser looks ahead over the rest of a value, quotes included, so a string in its midst would hide what is in it.
        if (std::string_view("\n=.,[{").find(before) == std::string_view::npos) fail(i, "a string may not begin here");
        i = after_string(i);
        before = c;
        continue;
      }
      if (c == '#') {
        i = std::min(text_.find('\n', i), text_.size());
        continue;
      }
      if (c == '\n' || c == ',') {
        depth = open.empty() ? 0 : open.back() + 1;
      } else if (c == '.') {
        ++depth;  // the parser recurses for each part of a key as it does for each bracket
      } else if (c == '[' || c == '{') {
        open.push_back(depth++);
      } else if ((c == ']' || c == '}') && !open.empty()) {
        depth = open.back();
        open.pop_back();
      } else if (is_beyond_ascii(c)) {
        fail(i, "only strings and comments may hold characters beyond ASCII; put the text in quotes");
      }
      if (depth > kMaxTomlDepth)
        fail(i,
             "nested deeper than " + std::to_string(kMaxTomlDepth) + " levels of key parts and brackets; a config needs three");
      if (c != ' ' && c != '\t' && c != '\r') before = c;
      ++i;
    }
  }

 private:
  [[noreturn]] void fail(size_t offset, const std::string& message) const {
    const auto before = text_.substr(0, offset);
    const auto line = std::count(before.begin(), before.end(), '\n');
    const auto column = offset - (before.rfind('\n') + 1);  // npos + 1 is 0
    throw Place{source_, static_cast<uint32_t>(line + 1), static_cast<uint32_t>(column + 1)}.error(message);
  }

  // The offset after the string that begins at `start`; one that ends nowhere goes to the end of the line, or of the text.
  size_t after_string(size_t start) const {
    const char quote = text_[start];
    const std::string triple(3, quote);
    const bool is_multiline = text_.substr(start, 3) == triple;
    size_t i = start + (is_multiline ? 3 : 1);
    while (i < text_.size()) {
      if (quote == '"' && text_[i] == '\\') {
        i = is_multiline ? after_escape(i) : i + 2;
      } else if (is_multiline && text_.substr(i, 3) == triple) {
        const size_t most = std::min(i + 5, text_.size());  // up to two quotes before the closing three belong to the string
        for (i += 3; i < most && text_[i] == quote;) ++i;
        return i;
      } else if (!is_multiline && (text_[i] == quote || text_[i] == '\n')) {
        return text_[i] == quote ? i + 1 : i;
      } else {
        ++i;
      }
    }
    return text_.size();
  }

  // toml++ asks whether what follows a backslash, or the white space after it, is white space, and is undefined beyond ASCII.
  size_t after_escape(size_t backslash) const {
    const size_t next = std::min(text_.find_first_not_of(" \t\r\n", backslash + 1), text_.size());
    if (next < text_.size() && is_beyond_ascii(text_[next]))
      fail(next, "a character beyond ASCII may not follow a backslash; write the string on one line");
    return std::max(next, backslash + 2);
  }

  std::string_view text_;
  const std::shared_ptr<const Source>& source_;
};

}  // namespace

void check_toml(std::string_view text, const std::shared_ptr<const Source>& source) { Guard(text, source).check(); }

}  // namespace lacuna
