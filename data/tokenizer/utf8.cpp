#include "data/tokenizer/utf8.h"

#include <cstring>

namespace lacuna {
namespace {

// What stands at `at`: a whole character, or the longest start of one that is followed by something else.
struct Part {
  size_t length;
  bool valid;
};

Part part_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(at);
  if (first < 0x80) return {1, true};
  if (first < 0xc2 || first > 0xf4) return {1, false};
  const size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  // The second byte's range excludes overlong forms, surrogates and values past U+10FFFF.
  const unsigned low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  for (size_t i = 1; i < length; ++i) {
    if (at + i == text.size()) return {i, false};
    const unsigned next = byte(at + i);
    if (next < (i == 1 ? low : 0x80) || next > (i == 1 ? high : 0xbf)) return {i, false};
  }
  return {length, true};
}

// The first ill-formed part at or after `at`, or the end.
size_t find_invalid(std::string_view text, size_t at) {
  while (at < text.size()) {
    uint64_t eight;
    if (at + sizeof(eight) <= text.size()) {
      std::memcpy(&eight, text.data() + at, sizeof(eight));
      if ((eight & 0x8080808080808080u) == 0) {
        at += sizeof(eight);
        continue;
      }
    }
    const Part part = part_at(text, at);
    if (!part.valid) return at;
    at += part.length;
  }
  return at;
}

}  // namespace

void append_utf8(uint32_t c, std::string& out) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xc0 | c >> 6);
  } else if (c < 0x10000) {
    put(0xe0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3f));
  } else {
    put(0xf0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3f));
    put(0x80 | (c >> 6 & 0x3f));
  }
  put(0x80 | (c & 0x3f));
}

std::optional<std::string> replace_invalid_utf8(std::string_view text) {
  size_t bad = find_invalid(text, 0);
  if (bad == text.size()) return std::nullopt;
  std::string out;
  out.reserve(text.size() + 16);
  size_t begin = 0;
  while (bad < text.size()) {
    out.append(text, begin, bad - begin);
    out.append("\xef\xbf\xbd");
    begin = bad + part_at(text, bad).length;
    bad = find_invalid(text, begin);
  }
  out.append(text, begin);
  return out;
}

}  // namespace lacuna
