#include "data/tokenizer/splitter.h"

#include <algorithm>

#include "data/tokenizer/unicode_classes.h"
#include "data/tokenizer/utf8.h"

namespace lacuna {
namespace {

// The end of the run of `wanted` characters that starts at `at`. `last` becomes the begin of the run's last character.
size_t run_end(std::string_view text, size_t at, CharClass wanted, const CharClass* classes, size_t& last) {
  while (at < text.size()) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const CodePoint c = byte < 0x80 ? CodePoint{byte, 1} : code_point_at(text, at);
    if (classes[c.value] != wanted) break;
    last = at;
    at += c.length;
  }
  return at;
}

// The length of 's 't 're 've 'm 'll 'd at `at`, where an apostrophe stands; 0 when it is none of them.
size_t contraction_length(std::string_view text, size_t at) {
  const char first = at + 1 < text.size() ? text[at + 1] : '\0';
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  const char second = at + 2 < text.size() ? text[at + 2] : '\0';
  const bool three = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l');
  return three ? 3 : 0;
}

}  // namespace

void Gpt2Splitter::split(std::string_view text, std::vector<Piece>& pieces) const {
  const CharClass* classes = char_classes();
  const auto class_at = [&](size_t i) { return classes[code_point_at(text, i).value]; };
  size_t last = 0;
  for (size_t begin = 0, end = 0; begin < text.size(); begin = end) {
    if (text[begin] == '\'') {
      if (const size_t length = contraction_length(text, begin)) {
        end = begin + length;
        pieces.push_back({begin, end});
        continue;
      }
    }
    // One space joins the run of letters, numbers or other characters that follows it.
    size_t run = begin;
    CharClass wanted = class_at(begin);
    if (text[begin] == ' ' && begin + 1 < text.size()) {
      if (const CharClass next = class_at(begin + 1); next != CharClass::space) {
        run = begin + 1;
        wanted = next;
      }
    }
    end = run_end(text, run, wanted, classes, last);
    // \s+(?!\S): a run of white space leaves its last character to what follows, if it has another one.
    if (wanted == CharClass::space && end < text.size() && last > begin) end = last;
    pieces.push_back({begin, end});
  }
}

}  // namespace lacuna
