// The three classes of characters that pre-tokenisation patterns tell apart: \p{L}, \p{N} and \s.
// The table is our own and not the system's, so that a text has the same tokens on every machine. It is that of Unicode 16.0,
// which the reference tokenizers use (tests/golden/tokenizer/make_unicode_classes.py reads it out of them).
#pragma once
#include <cstdint>

namespace lacuna {

enum class CharClass : uint8_t { other, letter, number, space };

inline constexpr uint32_t kNumCodePoints = 0x110000;

// kNumCodePoints entries, one per code point; built at the first call.
const CharClass* char_classes();

}  // namespace lacuna
