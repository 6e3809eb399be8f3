// Byte-level byte pairs against the reference's tokens (tests/golden/tokenizer), and against themselves on random input.
#include "data/tokenizer/byte_pair.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/random.h"
#include "data/tokenizer/pattern_splitter.h"
#include "data/tokenizer/utf8.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

using Json = nlohmann::json;
using testing::expect_error;
using testing::TemporaryFolder;

const std::filesystem::path kGoldens = "tests/golden/tokenizer";

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<int32_t> encode(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> tokens;
  tokenizer.encode(text, tokens);
  return tokens;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

// Letters, digits, spaces and awkward characters in every mixture.
std::string random_text(Random& random, int64_t length) {
  static constexpr uint32_t kAwkward[] = {' ',    ' ',    '\n',   '\r',    '\t',   '\'',   0x85,  0xa0,   0x180e,  0x2028,
                                          0x3000, 0x200b, 0x17f,  0x212a,  0xb2,   0x1c89, 0x301, 0xfffd, 0x1f469, 0x10d4e,
                                          0x4e00, 0xac00, 0x0378, 0x11de0, 0x0897, 's',    't',   'l',    'v',     '1'};
  std::string text;
  for (int64_t i = 0; i < length; ++i) {
    const int64_t kind = random.below(8);
    uint32_t c = static_cast<uint32_t>(kind < 3   ? 32 + random.below(95)
                                       : kind < 6 ? kAwkward[random.below(std::size(kAwkward))]
                                       : kind < 7 ? random.below(0x3000)
                                                  : random.below(0x110000));
    if (c >= 0xd800 && c < 0xe000) c = 0xe000;
    append_utf8(c, text);
  }
  return text;
}

void expect_goldens(const Tokenizer& tokenizer, const std::string& key) {
  const Json goldens = Json::parse(read(kGoldens / "goldens.json"));
  ASSERT_GT(goldens.size(), 60u);
  for (const Json& golden : goldens) {
    const std::string text = from_hex(golden["hex"]);
    EXPECT_EQ(encode(tokenizer, text), golden[key].get<std::vector<int32_t>>()) << key << ": " << text;
  }
}

TEST(BytePair, TokensAreTheReferencesFromVocabularyAndMerges) {
  const auto tokenizer = load_tokenizer("gpt2", kGoldens / "byte_pair");
  EXPECT_EQ(tokenizer->name(), "gpt2");
  EXPECT_EQ(tokenizer->end_token(), 600);  // the vocabulary has none
  EXPECT_EQ(tokenizer->vocabulary_size(), 601);
  expect_goldens(*tokenizer, "byte_pair");
}

TEST(BytePair, TokensAreTheReferencesFromATokenizerJson) {
  const auto tokenizer = load_tokenizer("gpt2", kGoldens / "byte_pair.json");
  EXPECT_EQ(tokenizer->end_token(), 600);
  EXPECT_EQ(tokenizer->vocabulary_size(), 601);
  expect_goldens(*tokenizer, "added");
}

TEST(BytePair, TokensAreTheReferencesUnderAnotherPatternAndComposition) {
  expect_goldens(*load_tokenizer("gpt2", kGoldens / "qwen2_style.json"), "qwen2_style");
}

TEST(BytePair, WhatIsStoredTokenisesAlike) {
  for (const auto& [file, key] :
       {std::pair("byte_pair", "byte_pair"), {"byte_pair.json", "added"}, {"qwen2_style.json", "qwen2_style"}}) {
    const auto original = load_tokenizer("gpt2", kGoldens / file);
    const auto restored = make_tokenizer("gpt2", original->serialize());
    EXPECT_EQ(restored->serialize(), original->serialize());
    EXPECT_EQ(restored->end_token(), original->end_token());
    expect_goldens(*restored, key);
  }
}

TEST(BytePair, AFolderPrefersItsTokenizerJson) {
  const TemporaryFolder folder;
  std::filesystem::copy(kGoldens / "byte_pair", folder.path(), std::filesystem::copy_options::recursive);
  std::filesystem::copy(kGoldens / "qwen2_style.json", folder / "tokenizer.json");
  expect_goldens(*load_tokenizer("gpt2", folder.path()), "qwen2_style");
}

TEST(BytePair, ValidTextComesBackAndInvalidBytesComeBackReplaced) {
  const auto tokenizer = load_tokenizer("gpt2", kGoldens / "byte_pair");
  Random random(3, 0);
  for (int i = 0; i < 200; ++i) {
    const std::string text = random_text(random, random.below(80));
    ASSERT_EQ(tokenizer->decode(encode(*tokenizer, text)), text);
  }
  EXPECT_EQ(tokenizer->decode(encode(*tokenizer, "caf\xe9")), "caf\xef\xbf\xbd");
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{-1, 600, 601, 1 << 30}), "");
}

TEST(BytePair, TheHandWrittenSplitterIsThePattern) {
  const Gpt2Splitter fast;
  const PatternSplitter reference{std::string(kGpt2Pattern), false};
  Random random(4, 0);
  for (int i = 0; i < 3000; ++i) {
    const std::string text = random_text(random, random.below(60));
    std::vector<Piece> got, wanted;
    fast.split(text, got);
    reference.split(text, wanted);
    ASSERT_EQ(got.size(), wanted.size()) << text;
    for (size_t k = 0; k < got.size(); ++k) ASSERT_TRUE(got[k].begin == wanted[k].begin && got[k].end == wanted[k].end) << text;
  }
}

// The straightforward algorithm: look for the lowest rank everywhere, again and again.
std::vector<int32_t> merged_slowly(const MergeTable& table, std::vector<int32_t> tokens) {
  while (true) {
    const Merge* best = nullptr;
    size_t place = 0;
    for (size_t i = 0; i + 1 < tokens.size(); ++i) {
      const Merge* merge = table.find(tokens[i], tokens[i + 1]);
      if (merge && (!best || merge->rank < best->rank)) {
        best = merge;
        place = i;
      }
    }
    if (!best) return tokens;
    tokens[place] = best->token;
    tokens.erase(tokens.begin() + static_cast<ptrdiff_t>(place) + 1);
  }
}

TEST(Merger, DoesWhatTheStraightforwardAlgorithmDoes) {
  MergeTable table(40);
  uint32_t rank = 0;
  for (int32_t token = 3; token < 43; ++token) {
    Random random(5, static_cast<uint64_t>(token));
    const auto left = static_cast<int32_t>(random.below(token)), right = static_cast<int32_t>(random.below(token));
    if (!table.find(left, right)) table.add(left, right, {rank++, token});
  }
  Random random(6, 0);
  Merger merger;
  for (int i = 0; i < 500; ++i) {
    std::vector<int32_t> tokens(static_cast<size_t>(random.below(100)));
    for (int32_t& token : tokens) token = static_cast<int32_t>(random.below(3));
    const auto wanted = merged_slowly(table, tokens);
    merger.merge(table, tokens);
    ASSERT_EQ(tokens, wanted);
  }
}

TEST(BytePair, TextCutAtASafePlaceHasTheSameTokens) {
  for (const char* file : {"byte_pair", "byte_pair.json"}) {
    const auto tokenizer = load_tokenizer("gpt2", kGoldens / file);
    Random random(7, 0);
    int cuts = 0;
    for (int i = 0; i < 2000; ++i) {
      const std::string text =
          random_text(random, random.below(60)) + "some words\nand lines\n" + random_text(random, random.below(20));
      const size_t cut = tokenizer->safe_cut(text);
      if (cut == 0) continue;
      ++cuts;
      auto tokens = encode(*tokenizer, std::string_view(text).substr(0, cut));
      tokenizer->encode(std::string_view(text).substr(cut), tokens);
      ASSERT_EQ(tokens, encode(*tokenizer, text)) << text << "\ncut at " << cut;
    }
    EXPECT_EQ(cuts, 2000);
    EXPECT_EQ(tokenizer->safe_cut("nospaces"), 0u);
  }
  // This one's added tokens hold spaces, between which a cut may not fall, and cuts lie elsewhere.
  const auto qwen = load_tokenizer("gpt2", kGoldens / "qwen2_style.json");
  const std::string text = "ab  cd ef  gh";
  EXPECT_EQ(qwen->safe_cut(text), 6u);
}

TEST(BytePair, ManyThreadsShareOne) {
  const auto tokenizer = load_tokenizer("gpt2", kGoldens / "byte_pair");
  const auto fresh = load_tokenizer("gpt2", kGoldens / "byte_pair");
  std::string text;
  Random random(8, 0);
  for (int i = 0; i < 3000; ++i) text += " w" + std::to_string(random.below(500));
  const auto wanted = encode(*fresh, text);
  std::vector<std::vector<int32_t>> got(4);
  std::vector<std::thread> threads;
  for (auto& tokens : got) threads.emplace_back([&] { tokens = encode(*tokenizer, text); });
  for (auto& thread : threads) thread.join();
  for (const auto& tokens : got) EXPECT_EQ(tokens, wanted);
}

TEST(BytePair, OnePieceOfAMillionLettersIsNoTrouble) {
  const auto tokenizer = load_tokenizer("gpt2", kGoldens / "byte_pair");
  const std::string text(1'000'000, 'e');
  EXPECT_EQ(tokenizer->decode(encode(*tokenizer, text)), text);
}

TEST(BytePair, APrefixSpaceIsAddedWhereTheFileSaysSo) {
  Json json = Json::parse(read(kGoldens / "byte_pair.json"));
  json["pre_tokenizer"]["add_prefix_space"] = true;
  const auto with = make_tokenizer("gpt2", json.dump());
  const auto without = load_tokenizer("gpt2", kGoldens / "byte_pair");
  EXPECT_EQ(encode(*with, "word"), encode(*without, " word"));
  EXPECT_EQ(encode(*with, " word"), encode(*without, " word"));
  EXPECT_EQ(encode(*with, ""), std::vector<int32_t>{});
}

TEST(BytePair, WhatIsNotSupportedIsRefusedByName) {
  const Json good = Json::parse(read(kGoldens / "byte_pair.json"));
  const auto refused = [&](const std::string& pointer, const Json& value, const std::string& words) {
    Json json = good;
    json[Json::json_pointer(pointer)] = value;
    expect_error(ExitCode::data, words, [&] { make_tokenizer("gpt2", json.dump()); });
  };
  refused("/model/type", "WordPiece", "of type \"WordPiece\", not BPE. Use GPT-2's vocab.json");
  refused("/model/end_of_word_suffix", "</w>", "\"end_of_word_suffix\" is not supported");
  refused("/model/dropout", 0.1, "\"dropout\" is not supported");
  refused("/pre_tokenizer", {{"type", "Whitespace"}}, "\"Whitespace\" is not supported; ByteLevel is");
  refused("/pre_tokenizer", Json::parse(R"({"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel"}]})"),
          "Sequence of Digits ByteLevel is not supported");
  refused("/pre_tokenizer/use_regex", false, "without a pattern is not supported");
  refused("/normalizer", {{"type", "Lowercase"}}, "the normalizer \"Lowercase\" is not supported; NFC is");
  refused("/added_tokens/0/rstrip", true, "wants \"rstrip\", which is not supported");
  Json split = Json::parse(read(kGoldens / "qwen2_style.json"));
  split["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\p{Lu}+|.";
  expect_error(ExitCode::data, "uses \\p{Lu}; of the character classes only \\p{L}, \\p{N}",
               [&] { make_tokenizer("gpt2", split.dump()); });
  split["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a";
  expect_error(ExitCode::data, "does not compile", [&] { make_tokenizer("gpt2", split.dump()); });
}

TEST(BytePair, DamagedFilesAreRefused) {
  const Json good = Json::parse(read(kGoldens / "byte_pair.json"));
  const auto refused = [&](const std::string& pointer, const Json& value, const std::string& words) {
    Json json = good;
    json[Json::json_pointer(pointer)] = value;
    expect_error(ExitCode::data, words, [&] { make_tokenizer("gpt2", json.dump()); });
  };
  refused("/model/vocab/a", 1 << 30, "is larger than any vocabulary's");
  refused("/model/vocab/a", -1, "token \"a\" has no valid id");
  refused("/model/vocab/a", good["model"]["vocab"]["b"], "two tokens have the id");
  refused("/model/merges/0", Json::array({"a", "never"}), "a merge names");
  refused("/model/merges/0", "a b c", "a merge is two tokens");
  refused("/model/merges/0", 7, "a merge is not a string");
  refused("/added_tokens/0/id", 5, "has the id of another token");
  refused("/added_tokens/0/content", "", "an added token is empty");
  Json without = good;
  without["model"]["vocab"].erase("a");
  expect_error(ExitCode::data, "the byte 97 has no token", [&] { make_tokenizer("gpt2", without.dump()); });
  expect_error(ExitCode::data, "not valid JSON", [] { make_tokenizer("gpt2", "{\"model\": "); });
  expect_error(ExitCode::data, "has no object \"model\"", [] { make_tokenizer("gpt2", "[]"); });
  expect_error(ExitCode::data, "not valid JSON", [] { make_tokenizer("gpt2", std::string(1'000'000, '[')); });
  const TemporaryFolder folder;
  expect_error(ExitCode::data, "Name a vocabulary with --vocabulary", [&] { load_tokenizer("gpt2", folder.path()); });
  std::ofstream(folder / "vocab.json") << read(kGoldens / "byte_pair/vocab.json");
  std::ofstream(folder / "merges.txt") << "#version: 0.2\na b\nbroken\n";
  expect_error(ExitCode::data, "merges.txt:3: a merge is two tokens", [&] { load_tokenizer("gpt2", folder.path()); });
}

TEST(BytePair, APatternThatBacktracksWithoutEndIsStopped) {
  Json json = Json::parse(read(kGoldens / "qwen2_style.json"));
  json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a+)+b|(?:a?){60}c";
  const auto tokenizer = make_tokenizer("gpt2", json.dump());
  expect_error(ExitCode::data, "use another tokenizer", [&] { encode(*tokenizer, std::string(60, 'a')); });
}

TEST(BytePair, Gpt2sOwnVocabularyGivesTheReferencesTokens) {
  const std::filesystem::path data = "../shared/data";
  if (!std::filesystem::exists(data / "tokenizer-gpt2/vocab.json")) {
    std::cout << "ran without " << data << ": GPT-2's own vocabulary is not checked\n";
    return;
  }
  const auto tokenizer = load_tokenizer("gpt2", data / "tokenizer-gpt2");
  EXPECT_EQ(tokenizer->vocabulary_size(), 50257);
  EXPECT_EQ(tokenizer->end_token(), 50256);
  // tiktoken 0.14.0, encode_ordinary
  EXPECT_EQ(encode(*tokenizer, "Hello, world! It's 3 o'clock."),
            (std::vector<int32_t>{15496, 11, 995, 0, 632, 338, 513, 267, 6, 15750, 13}));
  const std::string plays = read(data / "text/tinyshakespeare.txt");
  const auto tokens = encode(*tokenizer, plays);
  EXPECT_EQ(tokens.size(), 338025u);
  EXPECT_EQ(tokenizer->decode(tokens), plays);
}

}  // namespace
}  // namespace lacuna
