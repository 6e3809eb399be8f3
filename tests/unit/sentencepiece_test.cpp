#include "data/tokenizer/sentencepiece.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "data/random.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

std::vector<int32_t> encode(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> tokens;
  tokenizer.encode(text, tokens);
  return tokens;
}

std::string sentence(Random& random) {
  static constexpr const char* kWords[] = {"the",    "cat",   "sat",   "on",   "a",      "mat",  "and",
                                           "looked", "at",    "every", "bird", "that",   "flew", "over",
                                           "house",  "while", "rain",  "fell", "softly", "in",   "spring"};
  std::string text;
  for (int64_t words = 3 + random.below(8); words > 0; --words)
    text += std::string(text.empty() ? "" : " ") + kWords[random.below(21)];
  return text + ".";
}

// Trained once for all tests of this file.
const std::string& model() {
  static const std::string trained = [] {
    Random random(1, 0);
    int left = 400;
    return train_sentencepiece(
        [&](std::string& text) {
          text = sentence(random);
          return left-- > 0;
        },
        320);
  }();
  return trained;
}

TEST(Sentencepiece, ATrainedModelKeepsEveryCharacter) {
  const SentencepieceTokenizer tokenizer(model(), "test");
  EXPECT_EQ(tokenizer.name(), "sentencepiece");
  EXPECT_EQ(tokenizer.vocabulary_size(), 320);
  EXPECT_EQ(tokenizer.end_token(), 2);
  for (const std::string text : {"the cat sat on a mat.", " leading and  double  spaces ", "line\nbreaks\r\n\ttabs",
                                 "日本語 caf\xc3\xa9 👩‍👩‍👧", "QUX 123 #!?", "", " ", "\x01\x02"}) {
    EXPECT_EQ(tokenizer.decode(encode(tokenizer, text)), text);
  }
  EXPECT_LT(encode(tokenizer, "the cat sat on a mat").size(), 12u);  // words are pieces
}

TEST(Sentencepiece, RareCharactersAndInvalidBytesBecomeBytePieces) {
  const SentencepieceTokenizer tokenizer(model(), "test");
  EXPECT_EQ(encode(tokenizer, "語").size(), 3u);
  EXPECT_EQ(tokenizer.decode(encode(tokenizer, "a\xff")), "a\xef\xbf\xbd");
}

TEST(Sentencepiece, TheSameTextGivesTheSameModel) {
  Random random(1, 0);
  int left = 400;
  const std::string again = train_sentencepiece(
      [&](std::string& text) {
        text = sentence(random);
        return left-- > 0;
      },
      320);
  EXPECT_EQ(again, model());
}

TEST(Sentencepiece, WhatIsStoredTokenisesAlike) {
  const TemporaryFolder folder;
  std::ofstream(folder / "m.model", std::ios::binary) << model();
  const auto loaded = load_tokenizer("sentencepiece", folder / "m.model");
  const auto restored = make_tokenizer("sentencepiece", loaded->serialize());
  const std::string text = "every bird that flew over a house";
  EXPECT_EQ(encode(*loaded, text), encode(*restored, text));
  EXPECT_EQ(restored->serialize(), model());
}

TEST(Sentencepiece, DecodingSkipsIdsThatItDoesNotHave) {
  const SentencepieceTokenizer tokenizer(model(), "test");
  auto tokens = encode(tokenizer, "the cat");
  tokens.insert(tokens.begin(), {-5, 320, 1 << 30});
  tokens.push_back(tokenizer.end_token());
  EXPECT_EQ(tokenizer.decode(tokens), "the cat");
}

TEST(Sentencepiece, TextCutAtASafePlaceHasTheSameTokens) {
  const SentencepieceTokenizer tokenizer(model(), "test");
  Random random(2, 0);
  for (int i = 0; i < 200; ++i) {
    const std::string text = sentence(random) + " " + sentence(random);
    const size_t cut = tokenizer.safe_cut(text);
    ASSERT_GT(cut, 0u);
    auto tokens = encode(tokenizer, text.substr(0, cut));
    tokenizer.encode(text.substr(cut), tokens);
    EXPECT_EQ(tokens, encode(tokenizer, text)) << text;
  }
}

TEST(Sentencepiece, DamagedModelsAreRefusedAndNeverCrash) {
  expect_error(ExitCode::data, "Name a .model file with --vocabulary", [] { SentencepieceTokenizer("", "test"); });
  expect_error(ExitCode::data, "damaged one: it holds a", [] { SentencepieceTokenizer("not a model", "test"); });
  expect_error(ExitCode::data, "Cannot read", [] { load_tokenizer("sentencepiece", "absent.model"); });
  Random random(3, 0);
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    std::string damaged = model();
    if (i % 3 == 0) damaged.resize(static_cast<size_t>(random.below(static_cast<int64_t>(damaged.size()))));
    for (int64_t flips = random.below(4); flips > 0; --flips) {
      damaged[static_cast<size_t>(random.below(static_cast<int64_t>(damaged.size())))] ^=
          static_cast<char>(1 + random.below(255));
    }
    try {
      const SentencepieceTokenizer tokenizer(damaged, "test");
      tokenizer.decode(encode(tokenizer, "the cat 日本\n"));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      ++refused;
    }
  }
  EXPECT_GT(refused, 50);
}

// Field `number` of a protocol buffer with bytes in it; all lengths here fit into two bytes of seven bits.
std::string field(int number, const std::string& bytes) {
  const auto size = static_cast<unsigned>(bytes.size());
  return {static_cast<char>(number << 3 | 2), static_cast<char>(size | 0x80), static_cast<char>(size >> 7)};
}

TEST(Sentencepiece, ANormalisationTableMayNotLeadOutOfItself) {
  const auto with_table = [](std::vector<uint32_t> units, const std::string& texts) {
    std::string table(4 + units.size() * 4, '\0');
    const auto bytes = static_cast<uint32_t>(units.size() * 4);
    std::memcpy(table.data(), &bytes, 4);
    std::memcpy(table.data() + 4, units.data(), bytes);
    table += texts;
    const std::string normalizer = field(2, table) + table;
    return model() + field(3, normalizer) + normalizer;
  };
  std::vector<uint32_t> units(256, 0x80000000u);
  const auto refused = [&](const std::string& words, const std::string& texts) {
    expect_error(ExitCode::data, words, [&] { check_sentencepiece_model(with_table(units, texts), "test"); });
  };
  EXPECT_NO_THROW(check_sentencepiece_model(with_table(units, std::string("x\0", 2)), "test"));
  refused("texts do not end", "x");
  units[0] = 1u << 10 | 1u << 8;  // a value at unit 1, which says 0x7fffffff
  units[1] = 0xffffffffu;
  refused("leads out of its table", std::string("x\0", 2));
  units[0] = 300u << 10;
  refused("leads out of itself", std::string("x\0", 2));
}

TEST(Sentencepiece, TooLittleTextForTheVocabularyIsExplained) {
  int left = 20;
  Random random(4, 0);
  const auto few = [&](std::string& text) {
    text = sentence(random);
    return left-- > 0;
  };
  expect_error(ExitCode::data, "Set --vocabulary-size", [&] { train_sentencepiece(few, 8000); });
  expect_error(ExitCode::data, "no text to train", [] { train_sentencepiece([](std::string&) { return false; }, 300); });
  expect_error(ExitCode::data, "disk on fire",
               [] { train_sentencepiece([](std::string&) -> bool { throw data_error("disk on fire"); }, 300); });
}

}  // namespace
}  // namespace lacuna
