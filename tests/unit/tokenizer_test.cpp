// The catalog, bytes, and UTF-8.
#include "data/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include "data/tokenizer/byte_letters.h"
#include "data/tokenizer/catalog.h"
#include "data/tokenizer/unicode_classes.h"
#include "data/tokenizer/utf8.h"
#include "tests/support/expect_error.h"

namespace lacuna {
namespace {

using testing::expect_error;

std::vector<int32_t> encode(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> tokens;
  tokenizer.encode(text, tokens);
  return tokens;
}

TEST(Bytes, EveryByteIsItsOwnToken) {
  const auto bytes = load_tokenizer("bytes", "");
  std::string text;
  for (int i = 0; i < 256; ++i) text.push_back(static_cast<char>(i));
  const auto tokens = encode(*bytes, text);
  ASSERT_EQ(tokens.size(), 256u);
  for (int32_t i = 0; i < 256; ++i) EXPECT_EQ(tokens[i], i);
  EXPECT_EQ(bytes->decode(tokens), text);
  EXPECT_EQ(bytes->vocabulary_size(), 257);
  EXPECT_EQ(bytes->end_token(), 256);
  EXPECT_EQ(bytes->safe_cut(text), text.size());
}

TEST(Bytes, EncodingAppendsAndDecodingSkipsOtherIds) {
  const auto bytes = make_tokenizer("bytes", "");
  std::vector<int32_t> tokens = {256, -1, 1000};
  bytes->encode("ab", tokens);
  EXPECT_EQ(tokens, (std::vector<int32_t>{256, -1, 1000, 97, 98}));
  EXPECT_EQ(bytes->decode(tokens), "ab");
}

TEST(TokenizerCatalog, AnUnknownNameIsToldTheKnownOnes) {
  ASSERT_EQ(tokenizer_catalog().size(), 3u);
  for (const auto& entry : tokenizer_catalog()) EXPECT_FALSE(entry.summary.empty());
  expect_error(ExitCode::usage, "there are bytes, gpt2, sentencepiece", [] { load_tokenizer("byte", ""); });
  expect_error(ExitCode::data, "There is no tokenizer \"word\"", [] { make_tokenizer("word", ""); });
}

TEST(Utf8, InvalidPartsAreReplacedAsPythonDoes) {
  const auto replaced = [](std::string_view text) { return replace_invalid_utf8(text).value_or("unchanged"); };
  const std::string mark = "\xef\xbf\xbd";
  EXPECT_EQ(replaced("plain, caf\xc3\xa9, \xe6\x97\xa5, \xf0\x9f\x91\x8d"), "unchanged");
  EXPECT_EQ(replaced("0123456789abcde\xff"), "0123456789abcde" + mark);
  EXPECT_EQ(replaced("\xe2\x82 x"), mark + " x");                      // the start of a character is one part
  EXPECT_EQ(replaced("\xf0\x9f\x98"), mark);                           // also at the end
  EXPECT_EQ(replaced("\xed\xa0\x80"), mark + mark + mark);             // a surrogate is three
  EXPECT_EQ(replaced("\xc0\x80"), mark + mark);                        // overlong
  EXPECT_EQ(replaced("\xf4\x90\x80\x80"), mark + mark + mark + mark);  // past U+10FFFF
  EXPECT_EQ(replaced("\xe2\x28\xa1"), mark + "(" + mark);
}

TEST(Utf8, CodePointsGoThereAndBack) {
  for (uint32_t c = 0; c < kNumCodePoints; c += 37) {
    if (c >= 0xd800 && c < 0xe000) continue;
    std::string text;
    append_utf8(c, text);
    ASSERT_EQ(code_point_at(text, 0).value, c);
    ASSERT_EQ(code_point_at(text, 0).length, text.size());
    ASSERT_FALSE(replace_invalid_utf8(text));
  }
}

TEST(UnicodeClasses, AreThoseOfUnicode16) {
  int64_t counts[4] = {};
  for (uint32_t c = 0; c < kNumCodePoints; ++c) ++counts[static_cast<size_t>(char_classes()[c])];
  EXPECT_EQ(counts[static_cast<size_t>(CharClass::letter)], 141028);
  EXPECT_EQ(counts[static_cast<size_t>(CharClass::number)], 1911);
  EXPECT_EQ(counts[static_cast<size_t>(CharClass::space)], 25);
  EXPECT_EQ(char_classes()[0x1c89], CharClass::letter);  // new in 16.0
  EXPECT_EQ(char_classes()[0x180e], CharClass::other);   // white space to PCRE2, not to the references
  EXPECT_EQ(char_classes()[0x85], CharClass::space);
}

TEST(ByteLetters, EachByteHasItsOwn) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string letter = letter_of_byte(static_cast<uint8_t>(byte));
    EXPECT_EQ(all.find(letter), std::string::npos);
    EXPECT_EQ(bytes_of_letters(letter), std::string(1, static_cast<char>(byte)));
    all += letter;
  }
  EXPECT_EQ(letter_of_byte(' '), "\u0120");
  EXPECT_EQ(letter_of_byte('a'), "a");
  EXPECT_FALSE(bytes_of_letters("a b"));
  EXPECT_FALSE(bytes_of_letters("\xff"));
}

}  // namespace
}  // namespace lacuna
