// The tokenizers by name: one line per entry. tokenizer.h declares how one is made.
#pragma once
#include <span>
#include <string_view>

namespace lacuna {

struct TokenizerEntry {
  std::string_view name;
  std::string_view summary;
};

std::span<const TokenizerEntry> tokenizer_catalog();

}  // namespace lacuna
