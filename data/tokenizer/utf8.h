// UTF-8 as the tokenizers need it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lacuna {

struct CodePoint {
  uint32_t value;
  uint32_t length;  // bytes
};

// The code point at `at`; `text` must be valid UTF-8 and `at` the first byte of a character.
inline CodePoint code_point_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[at + i])); };
  const uint32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  if (first < 0xe0) return {(first & 0x1f) << 6 | (byte(1) & 0x3f), 2};
  if (first < 0xf0) return {(first & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
  return {(first & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f), 4};
}

// Appends the UTF-8 form of a code point below 0x110000.
void append_utf8(uint32_t code_point, std::string& out);

// `text` with U+FFFD in place of each maximal ill-formed part (Unicode 16.0, table 3-7 and section 3.9), which is what Python's
// decode("utf-8", errors="replace") makes of it; nothing when all of it is valid.
std::optional<std::string> replace_invalid_utf8(std::string_view text);

}  // namespace lacuna
