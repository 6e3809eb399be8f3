#include "data/tokenizer/word_splitter.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <array>

namespace lacuna {
namespace {

constexpr uint32_t kNumCodePoints = 0x110000;

constexpr uint16_t bit(WordClass c) { return static_cast<uint16_t>(1u << static_cast<unsigned>(c)); }
template <class... Classes>
constexpr uint16_t any_of(Classes... c) {
  return static_cast<uint16_t>((bit(c) | ...));
}

using enum WordClass;
constexpr uint16_t kLetters = any_of(small, capital, letter);
constexpr uint16_t kAll = (1u << 11) - 1;
constexpr uint16_t kAfterEnd = 0;  // of no class: everything begins a word

// Behind which classes a character of this class goes on with the word.
constexpr uint16_t continues(WordClass c) {
  switch (c) {
    case small:
    case letter:
      return kLetters | bit(space);
    case capital:
      return any_of(capital, letter, space);
    case katakana:
      return any_of(katakana, space);
    case symbol:
    case space:
      return bit(space);
    case punctuation:
      return kLetters | any_of(katakana, symbol, punctuation, space);
    case extend:
      return kLetters | any_of(katakana, symbol, punctuation, space, white, extend);
    case line_feed:
      return bit(carriage_return);
    case white:
    case carriage_return:
      return 0;
  }
  return 0;
}

// Behind which classes a character that is one of `possible` goes on with the word, or may do so.
uint16_t may_continue(uint16_t possible) {
  uint16_t behind = 0;
  for (unsigned c = 0; c < 11; ++c) {
    if ((possible >> c & 1) != 0) behind |= continues(static_cast<WordClass>(c));
  }
  return behind;
}

int32_t length_of(uint8_t first) {
  return first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
}

uint8_t first_byte(uint32_t c) {
  return static_cast<uint8_t>(c < 0x80 ? c : c < 0x800 ? 0xc0 | c >> 6 : c < 0x10000 ? 0xe0 | c >> 12 : 0xf0 | c >> 18);
}

// Of each first byte of a character, may_continue of those that are assigned; of other bytes, that of a symbol.
const std::array<uint16_t, 256>& continuing_bytes() {
  static const auto table = [] {
    std::array<uint16_t, 256> possible{}, behind{};
    for (uint32_t c = 0; c < kNumCodePoints; ++c) {
      const auto category = u_charType(static_cast<UChar32>(c));
      if (category == U_UNASSIGNED || category == U_SURROGATE || category == U_PRIVATE_USE_CHAR) continue;
      possible[first_byte(c)] |= bit(word_class(c));
    }
    for (size_t b = 0; b < 256; ++b) behind[b] = may_continue(possible[b] != 0 ? possible[b] : bit(symbol));
    return behind;
  }();
  return table;
}

}  // namespace

WordClass word_class(uint32_t code_point) {
  const auto c = static_cast<UChar32>(code_point);
  if (c == ' ') return space;
  if (c == '\r') return carriage_return;
  if (c == '\n') return line_feed;
  if (u_isUWhiteSpace(c)) return white;
  if ((U_GET_GC_MASK(c) & U_GC_P_MASK) != 0) return punctuation;
  switch (u_getIntPropertyValue(c, UCHAR_WORD_BREAK)) {
    case U_WB_ALETTER:
    case U_WB_HEBREW_LETTER:
    case U_WB_NUMERIC: {
      const auto category = u_charType(c);
      return category == U_LOWERCASE_LETTER ? small : category == U_UPPERCASE_LETTER ? capital : letter;
    }
    case U_WB_KATAKANA:
      return katakana;
    case U_WB_EXTEND:
    case U_WB_FORMAT:
    case U_WB_ZWJ:
      return extend;
    default:
      return symbol;
  }
}

WordSplitter::WordSplitter(int64_t max_bytes) : max_bytes_(max_bytes), before_(kAfterEnd) {}

bool WordSplitter::begin_if(bool wanted, bool may_begin, int64_t bytes) {
  const bool begins = (wanted && may_begin) || word_bytes_ + bytes > max_bytes_ || word_bytes_ == 0;
  word_bytes_ = begins ? bytes : word_bytes_ + bytes;
  return begins;
}

void WordSplitter::finish(uint32_t code_point) {
  const auto c = word_class(code_point);
  // A combining mark changes nothing about the character before it, unless there is none.
  if (c != extend || (before_ & continues(extend)) == 0) before_ = bit(c == extend ? symbol : c);
}

bool WordSplitter::take(uint8_t byte, bool may_begin) {
  if (missing_ > 0) {
    if ((byte & 0xc0) == 0x80) {
      code_point_ = code_point_ << 6 | (byte & 0x3f);
      if (--missing_ == 0) finish(code_point_);
      return false;
    }
    word_bytes_ -= missing_;  // the character breaks off
    missing_ = 0;
    before_ = bit(symbol);
  }
  const auto length = length_of(byte);
  const bool begins = begin_if((continuing_bytes()[byte] & before_) == 0, may_begin, std::max(length, 1));
  if (length > 1) {
    missing_ = length - 1;
    code_point_ = byte & (0x7f >> length);
  } else if (length == 1) {
    finish(byte);
  } else {
    before_ = bit(symbol);
  }
  return begins;
}

bool WordSplitter::take_end(bool may_begin) {
  word_bytes_ -= missing_;
  missing_ = 0;
  before_ = kAfterEnd;
  return begin_if(true, may_begin, 1);
}

bool WordSplitter::take_unknown(bool may_begin) {
  word_bytes_ -= missing_;
  missing_ = 0;
  const bool begins = begin_if((may_continue(kAll) & before_) == 0, may_begin, 1);
  before_ = bit(letter);
  return begins;
}

std::vector<std::string_view> split_words(std::string_view text, int64_t max_bytes) {
  WordSplitter splitter(max_bytes);
  std::vector<std::string_view> words;
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!splitter.take(static_cast<uint8_t>(text[i])) || i == 0) continue;
    words.push_back(text.substr(begin, i - begin));
    begin = i;
  }
  if (!text.empty()) words.push_back(text.substr(begin));
  return words;
}

}  // namespace lacuna
