// Bytes as tokens: ids 0..255 are the text's bytes, 256 ends a document. Exact on every input, valid UTF-8 or not.
#pragma once
#include "data/tokenizer/tokenizer.h"

namespace lacuna {

class BytesTokenizer : public Tokenizer {
 public:
  static constexpr int32_t kEnd = 256;

  std::string name() const override { return "bytes"; }
  int64_t vocabulary_size() const override { return kEnd + 1; }
  int32_t end_token() const override { return kEnd; }
  void encode(std::string_view text, std::vector<int32_t>& out) const override;
  std::string decode(std::span<const int32_t> tokens) const override;
  std::string serialize() const override { return {}; }
  size_t safe_cut(std::string_view text) const override { return text.size(); }
};

}  // namespace lacuna
