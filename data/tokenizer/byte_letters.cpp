#include "data/tokenizer/byte_letters.h"

#include <array>

#include "data/tokenizer/utf8.h"

namespace lacuna {
namespace {

constexpr uint32_t kNumLetters = 0x100 + 68;

constexpr bool stands_for_itself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

constexpr std::array<uint16_t, 256> kLetters = [] {
  std::array<uint16_t, 256> letters{};
  uint16_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) letters[byte] = stands_for_itself(byte) ? static_cast<uint16_t>(byte) : next++;
  return letters;
}();

constexpr std::array<int16_t, kNumLetters> kBytes = [] {
  std::array<int16_t, kNumLetters> bytes{};
  bytes.fill(-1);
  for (uint32_t byte = 0; byte < 256; ++byte) bytes[kLetters[byte]] = static_cast<int16_t>(byte);
  return bytes;
}();

}  // namespace

std::string letter_of_byte(uint8_t byte) {
  std::string letter;
  append_utf8(kLetters[byte], letter);
  return letter;
}

std::optional<std::string> bytes_of_letters(std::string_view letters) {
  if (replace_invalid_utf8(letters)) return std::nullopt;
  std::string bytes;
  for (size_t at = 0; at < letters.size();) {
    const CodePoint c = code_point_at(letters, at);
    if (c.value >= kNumLetters || kBytes[c.value] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kBytes[c.value]));
    at += c.length;
  }
  return bytes;
}

}  // namespace lacuna
