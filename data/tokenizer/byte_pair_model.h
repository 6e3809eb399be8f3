// What a byte-level byte-pair tokenizer consists of, and its two forms on disk: GPT-2's vocab.json with merges.txt, and the part
// of Hugging Face's tokenizer.json that says the same. Files are checked: sizes, ids, merges that lead nowhere.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lacuna {

// A token that is found in the text itself, before anything else looks at it.
struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool special = true;      // stands for no text when decoded
  bool normalized = false;  // found in the normalised text
};

struct BytePairModel {
  std::vector<std::pair<std::string, int32_t>> vocabulary;  // tokens in byte-level letters (see byte_letters.h), ids
  std::vector<std::pair<std::string, std::string>> merges;  // in order of rank
  std::vector<AddedToken> added;
  std::string pattern;            // empty: the pattern of GPT-2
  bool drop_unmatched = false;    // what the pattern does not match is dropped
  bool add_prefix_space = false;  // a section that starts with no space is given one
  bool ignore_merges = false;     // a piece that is a token is that token, whatever the merges say
  bool compose = false;           // the text is brought into Unicode's composed form (NFC) first
};

// A folder with tokenizer.json or with vocab.json and merges.txt, or a tokenizer.json by any name. Throws Error(data).
BytePairModel read_byte_pair_files(const std::filesystem::path& path);

// A tokenizer.json's text. Throws Error(data), naming the part, for one that this program would not tokenise exactly alike.
BytePairModel byte_pair_from_json(std::string_view text, const std::string& where);
std::string byte_pair_to_json(const BytePairModel& model);

}  // namespace lacuna
