#include "data/prompt.h"

#include <string>

namespace lacuna {
namespace {

// How long the prompt is without the white space at its end.
size_t trimmed(std::string_view prompt) { return prompt.find_last_not_of(" \t\n\r\f\v") + 1; }

}  // namespace

PromptTokens encode_prompt(const Tokenizer& tokenizer, std::string_view prompt, std::string_view response) {
  PromptTokens out;
  tokenizer.encode(prompt.substr(0, trimmed(prompt)), out.tokens);
  out.prompt = out.tokens.size();
  out.tokens.clear();
  tokenizer.encode(std::string(prompt) + std::string(response), out.tokens);
  out.prompt = std::min(out.prompt, out.tokens.size());
  return out;
}

PromptTokens encode_apart(const Tokenizer& tokenizer, std::string_view prompt, std::string_view response) {
  const auto end = trimmed(prompt);
  PromptTokens out;
  tokenizer.encode(prompt.substr(0, end), out.tokens);
  out.prompt = out.tokens.size();
  tokenizer.encode(std::string(prompt.substr(end)) + std::string(response), out.tokens);
  return out;
}

}  // namespace lacuna
