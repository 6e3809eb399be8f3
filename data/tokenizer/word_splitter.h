// Where words begin in a stream of bytes, decided at each byte from that byte and those before it: a network that predicts bytes
// can be given the words without being told what it is to predict, and words close while a text is still being written.
//
// The rules are those of the hierarchical autoregressive transformer's released splitter (Neitemeier et al. 2025; hat-splitter):
// word bounds of UAX #29; further cuts behind every punctuation mark and from a small to a capital letter; a run of spaces
// belongs to the word behind it, punctuation to the word, space or punctuation before it; other white space stands alone ("\r\n"
// as one). "Hello, world!" gives "Hello," " world!", "how_are_you" gives "how_" "are_" "you". Two things follow from deciding at
// once:
//   * A character of several bytes is judged by its first byte: a word begins there if every assigned character with that first
//     byte would begin one. So an ideograph stands alone, while a dash, a curly quotation mark or a kana, which share their first
//     bytes with other kinds, continue a word. Bytes behind it are judged by what the character turned out to be.
//   * Dictionaries, as ICU's iterators ask for Thai, are not used: they look ahead.
// A byte that belongs to no valid UTF-8 stands alone. Character properties are those of the ICU that is installed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace lacuna {

enum class WordClass : uint8_t {
  small,
  capital,
  letter,
  katakana,
  symbol,
  punctuation,
  space,
  white,
  carriage_return,
  line_feed,
  extend
};

// The class of a code point below 0x110000: letters and digits of UAX #29, of which `small` and `capital` have a case; combining
// marks and format characters (extend); white space other than U+0020; and symbol, which stands alone.
WordClass word_class(uint32_t code_point);

class WordSplitter {
 public:
  // `max_bytes`: no word is longer; it is cut before a character that would not fit. At least 4.
  explicit WordSplitter(int64_t max_bytes);

  // The next byte; returns whether a word begins with it. Where a word is not to begin (`may_begin` false) the last one goes on,
  // up to max_bytes.
  bool take(uint8_t byte, bool may_begin = true);
  // A symbol that is no byte and stands alone, such as the end of a document.
  bool take_end(bool may_begin = true);
  // One that stands for a character unknown, such as a mask: it continues a word.
  bool take_unknown(bool may_begin = true);

 private:
  bool begin_if(bool wanted, bool may_begin, int64_t bytes);
  void finish(uint32_t code_point);

  int64_t max_bytes_;
  int64_t word_bytes_ = 0;   // of the word that is open, those that the open character is still to bring included
  uint16_t before_;          // the last character's class, or that of a text's or a document's end
  uint32_t code_point_ = 0;  // of a character whose bytes are not all here
  int32_t missing_ = 0;      // those bytes
};

// The words of a text one after the other; joined they are the text.
std::vector<std::string_view> split_words(std::string_view text, int64_t max_bytes);

}  // namespace lacuna
