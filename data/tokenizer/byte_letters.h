// GPT-2's printable letters for bytes (Radford et al., 2019, encoder.py, bytes_to_unicode): printable Latin-1 bytes stand for
// themselves, the other 68 for U+0100 and up, in order.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lacuna {

std::string letter_of_byte(uint8_t byte);

// The bytes that a token's letters stand for; nothing when one of the characters is no such letter.
std::optional<std::string> bytes_of_letters(std::string_view letters);

}  // namespace lacuna
