#include "data/tokenizer/word_splitter.h"

#include <gtest/gtest.h>

#include <string>

#include "data/random.h"
#include "data/tokenizer/utf8.h"

namespace lacuna {
namespace {

using Words = std::vector<std::string>;

Words split(const std::string& text, int64_t max_bytes = 100) {
  Words words;
  for (const auto word : split_words(text, max_bytes)) words.emplace_back(word);
  return words;
}

std::string joined(const Words& words) {
  std::string text;
  for (const auto& word : words) text += word;
  return text;
}

// The words of `prefix` must be those of the whole, the last one perhaps cut short.
void expect_prefix(const Words& whole, const Words& prefix, const std::string& what) {
  ASSERT_LE(prefix.size(), whole.size()) << what;
  for (size_t i = 0; i < prefix.size(); ++i) {
    if (i + 1 < prefix.size()) {
      ASSERT_EQ(prefix[i], whole[i]) << what;
    } else {
      ASSERT_TRUE(whole[i].starts_with(prefix[i])) << what << ": \"" << prefix[i] << "\" of \"" << whole[i] << "\"";
    }
  }
}

std::string random_text(uint64_t seed, int64_t characters) {
  // Letters of several scripts, marks, punctuation, white space, emoji and their joiner, and bytes that are no UTF-8.
  const std::u32string alphabet =
      U"aAzZ09_ "
      U"'.,-\t\n\r\u00a0\u00e9\u00c9\u0301\u200d\u2019\u2014\u2003\u3001\u3042\u30c6\u4f60\u597d\uac00\u0416\u0436\u05d0\u0e01"
      U"\U0001f44d\U0001f1e9\U0001f1ea\U0001d400$+=";
  Random random(seed, 0);
  std::string text;
  for (int64_t i = 0; i < characters; ++i) {
    if (random.below(12) == 0) {
      text.push_back(static_cast<char>(random.below(256)));
    } else if (random.below(10) == 0) {
      append_utf8(static_cast<uint32_t>(random.below(0xd800)), text);
    } else {
      append_utf8(alphabet[static_cast<size_t>(random.below(static_cast<int64_t>(alphabet.size())))], text);
    }
  }
  return text;
}

TEST(WordSplitter, FollowsThePublishedRules) {
  EXPECT_EQ(split("Hello, world!"), (Words{"Hello,", " world!"}));
  EXPECT_EQ(split("howAreYou"), (Words{"how", "Are", "You"}));
  EXPECT_EQ(split("how_are_you"), (Words{"how_", "are_", "you"}));
  EXPECT_EQ(split("ab c!"), (Words{"ab", " c!"}));
  EXPECT_EQ(split("can't 3.14 (x)"), (Words{"can'", "t", " 3.", "14", " (", "x)"}));
  EXPECT_EQ(split("a=b+1"), (Words{"a", "=", "b", "+", "1"}));
  EXPECT_EQ(split("HTTPServer"), (Words{"HTTPServer"}));
  EXPECT_EQ(split(""), Words{});
  EXPECT_EQ(split("x"), Words{"x"});
}

TEST(WordSplitter, SpacesGoWithTheNextWordAndOtherWhiteSpaceStandsAlone) {
  EXPECT_EQ(split("a   b"), (Words{"a", "   b"}));
  EXPECT_EQ(split("a \n  b\t\tc"), (Words{"a", " ", "\n", "  b", "\t", "\t", "c"}));
  EXPECT_EQ(split("one\r\ntwo\n\rthree\r\r\n"), (Words{"one", "\r\n", "two", "\n", "\r", "three", "\r", "\r\n"}));
  EXPECT_EQ(split("\n.a"), (Words{"\n", ".", "a"}));
}

TEST(WordSplitter, CharactersOfSeveralBytes) {
  EXPECT_EQ(split("d\u00e9j\u00e0 vu, \u00c9tat"), (Words{"d\u00e9j\u00e0", " vu,", " \u00c9tat"}));
  EXPECT_EQ(split("na\u0308her"), (Words{"na\u0308her"}));                        // a combining mark
  EXPECT_EQ(split("\u4f60\u597d\u5417"), (Words{"\u4f60", "\u597d", "\u5417"}));  // ideographs
  EXPECT_EQ(split("\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!"),
            (Words{"\u041f\u0440\u0438\u0432\u0435\u0442,", " \u043c\u0438\u0440!"}));
  EXPECT_EQ(split("don\u2019t"), (Words{"don\u2019", "t"}));  // a curly apostrophe is punctuation once it is whole
  EXPECT_EQ(split("\uc548\ub155 \uc138\uacc4"), (Words{"\uc548\ub155", " \uc138\uacc4"}));
  EXPECT_EQ(split("ok \U0001f44d\U0001f44d ok"), (Words{"ok", " \U0001f44d\U0001f44d", " ok"}));
  EXPECT_EQ(split("\n\U0001f1e9\U0001f1ea"), (Words{"\n", "\U0001f1e9\U0001f1ea"}));
}

TEST(WordSplitter, LongWordsAreCutBetweenCharacters) {
  EXPECT_EQ(split("verylongword", 10), (Words{"verylongwo", "rd"}));
  EXPECT_EQ(split("f\u00fcf\u00fcf", 4), (Words{"f\u00fcf", "\u00fcf"}));
  EXPECT_EQ(split("\U0001f44d\U0001f44d", 4), (Words{"\U0001f44d", "\U0001f44d"}));
  const std::string endless(10000, 'x');
  const auto words = split(endless, 32);
  EXPECT_EQ(words.size(), 313u);
  EXPECT_EQ(joined(words), endless);
}

TEST(WordSplitter, BytesThatAreNoUtf8StandAlone) {
  EXPECT_EQ(split("ab\xff\xfe!c"), (Words{"ab", "\xff", "\xfe!", "c"}));
  EXPECT_EQ(split("a\x80"
                  "b"),
            (Words{"a", "\x80", "b"}));
  EXPECT_EQ(split("\xe4\xbd x"), (Words{"\xe4\xbd", " x"}));  // a character that breaks off
  EXPECT_EQ(split("\xe4\xbd"), (Words{"\xe4\xbd"}));
  EXPECT_EQ(split("\xc0\x80"), (Words{"\xc0", "\x80"}));
}

TEST(WordSplitter, AnyPrefixGivesTheWordsOfTheWhole) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const auto text = random_text(seed, 60);
    for (const int64_t max_bytes : {4, 9, 100}) {
      const auto whole = split(text, max_bytes);
      EXPECT_EQ(joined(whole), text);
      for (const auto& word : whole) {
        EXPECT_FALSE(word.empty());
        EXPECT_LE(static_cast<int64_t>(word.size()), max_bytes);
      }
      for (size_t n = 0; n <= text.size(); ++n) {
        expect_prefix(whole, split(text.substr(0, n), max_bytes), "seed " + std::to_string(seed) + ", " + std::to_string(n));
      }
    }
  }
}

// What a byte is decided to be must not depend on later ones: other bytes behind it change no word up to it.
TEST(WordSplitter, LaterBytesChangeNothing) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const auto text = random_text(seed, 40), other = random_text(seed + 1000, 40);
    for (size_t n = 0; n <= text.size(); ++n) {
      WordSplitter one(12), two(12);
      for (size_t i = 0; i < n; ++i) {
        ASSERT_EQ(one.take(static_cast<uint8_t>(text[i])), two.take(static_cast<uint8_t>((text.substr(0, n) + other)[i])));
      }
    }
  }
}

TEST(WordSplitter, EndsStandAloneAndUnknownCharactersContinue) {
  WordSplitter splitter(100);
  EXPECT_TRUE(splitter.take('a'));
  EXPECT_TRUE(splitter.take_end());
  EXPECT_TRUE(splitter.take('b'));
  EXPECT_FALSE(splitter.take_unknown());
  EXPECT_FALSE(splitter.take('c'));
  EXPECT_TRUE(splitter.take(' '));
  EXPECT_FALSE(splitter.take_unknown());
  EXPECT_TRUE(splitter.take('\n'));
  EXPECT_TRUE(splitter.take_unknown());
  EXPECT_FALSE(splitter.take(0xe2));  // a character that an end cuts off
  EXPECT_TRUE(splitter.take_end());
  EXPECT_TRUE(splitter.take_end());
}

TEST(WordSplitter, AWordThatMayNotBeginGoesOn) {
  WordSplitter splitter(6);
  const std::string text = "a b c d e";
  int64_t begun = 0;
  for (const char byte : text) begun += splitter.take(static_cast<uint8_t>(byte), false);
  EXPECT_EQ(begun, 2);  // only where the word is full
}

}  // namespace
}  // namespace lacuna
