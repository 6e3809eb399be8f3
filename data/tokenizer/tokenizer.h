// Text to ids and back. An id is below vocabulary_size(); documents in a corpus end with end_token().
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lacuna {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::string name() const = 0;         // bytes | gpt2 | sentencepiece
  virtual int64_t vocabulary_size() const = 0;  // the end token included
  virtual int32_t end_token() const = 0;
  virtual void encode(std::string_view text, std::vector<int32_t>& out) const = 0;  // appends, adds no end token; thread-safe
  virtual std::string decode(std::span<const int32_t> tokens) const = 0;            // skips ids that stand for no text
  // Whether a word begins with this token: whether its text begins with white space.
  virtual bool begins_word(int32_t token) const {
    const auto text = decode({&token, 1});
    return !text.empty() && std::string_view(" \n\t\r").find(text.front()) != std::string_view::npos;
  }
  // The last place at which a text may be cut so that the two parts, encoded apart, give the tokens of the whole; 0 when
  // there is none. Documents that do not fit into memory are encoded in parts.
  virtual size_t safe_cut(std::string_view /*text*/) const { return 0; }
  virtual std::string serialize() const = 0;  // the blob that make_tokenizer() takes; stored inside the corpus
};

// `blob` is what serialize() gave and comes from a file that nobody vouches for: a damaged one throws Error(data).
std::shared_ptr<const Tokenizer> make_tokenizer(std::string_view name, std::string_view blob);

// From the vocabulary that a user names: nothing for bytes; for gpt2 a folder with vocab.json and merges.txt or tokenizer.json,
// or a tokenizer.json; for sentencepiece a .model file. Throws Error(data) when it cannot be read, Error(usage) for a name
// that is not in the catalog.
std::shared_ptr<const Tokenizer> load_tokenizer(std::string_view name, const std::filesystem::path& vocabulary);

}  // namespace lacuna
