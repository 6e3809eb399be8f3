#include "data/tokenizer/bytes.h"

namespace lacuna {

void BytesTokenizer::encode(std::string_view text, std::vector<int32_t>& out) const {
  const size_t start = out.size();
  out.resize(start + text.size());
  for (size_t i = 0; i < text.size(); ++i) out[start + i] = static_cast<unsigned char>(text[i]);
}

std::string BytesTokenizer::decode(std::span<const int32_t> tokens) const {
  std::string text;
  text.reserve(tokens.size());
  for (int32_t token : tokens) {
    if (token >= 0 && token < kEnd) text.push_back(static_cast<char>(token));
  }
  return text;
}

}  // namespace lacuna
