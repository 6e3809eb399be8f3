#include "data/tokenizer/catalog.h"

#include <array>

#include "data/error.h"
#include "data/tokenizer/byte_pair.h"
#include "data/tokenizer/bytes.h"
#include "data/tokenizer/sentencepiece.h"

namespace lacuna {
namespace {

using Shared = std::shared_ptr<const Tokenizer>;

struct Entry {
  TokenizerEntry entry;
  Shared (*make)(std::string_view blob);
  Shared (*load)(const std::filesystem::path& vocabulary);
};

Shared make_bytes(std::string_view) { return std::make_shared<BytesTokenizer>(); }
Shared load_bytes(const std::filesystem::path&) { return std::make_shared<BytesTokenizer>(); }
Shared make_byte_pair(std::string_view blob) {
  const std::string where = "the stored tokenizer";
  return std::make_shared<BytePairTokenizer>(byte_pair_from_json(blob, where), where);
}
Shared load_byte_pair(const std::filesystem::path& path) {
  return std::make_shared<BytePairTokenizer>(read_byte_pair_files(path), path.string());
}
Shared make_sentencepiece(std::string_view blob) {
  return std::make_shared<SentencepieceTokenizer>(std::string(blob), "the stored tokenizer");
}
Shared load_sentencepiece(const std::filesystem::path& path) {
  return std::make_shared<SentencepieceTokenizer>(read_sentencepiece_file(path), path.string());
}

constexpr std::array kEntries = {
    Entry{{"bytes", "each byte is a token; needs no vocabulary"}, make_bytes, load_bytes},
    Entry{{"gpt2", "byte-level byte pairs, from vocab.json and merges.txt or a tokenizer.json"}, make_byte_pair, load_byte_pair},
    Entry{{"sentencepiece", "a .model file, or one trained on the text itself"}, make_sentencepiece, load_sentencepiece},
};

constexpr auto kCatalog = [] {
  std::array<TokenizerEntry, kEntries.size()> catalog;
  for (size_t i = 0; i < catalog.size(); ++i) catalog[i] = kEntries[i].entry;
  return catalog;
}();

const Entry& entry_of(std::string_view name, ExitCode code) {
  std::string known;
  for (const Entry& entry : kEntries) {
    if (entry.entry.name == name) return entry;
    known += (known.empty() ? "" : ", ") + std::string(entry.entry.name);
  }
  throw Error(code, "There is no tokenizer \"" + std::string(name) + "\"; there are " + known + ".");
}

}  // namespace

std::span<const TokenizerEntry> tokenizer_catalog() { return kCatalog; }

Shared make_tokenizer(std::string_view name, std::string_view blob) { return entry_of(name, ExitCode::data).make(blob); }

Shared load_tokenizer(std::string_view name, const std::filesystem::path& vocabulary) {
  return entry_of(name, ExitCode::usage).load(vocabulary);
}

}  // namespace lacuna
