// A prompt and what follows it, as tokens.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace lacuna {

struct PromptTokens {
  std::vector<int32_t> tokens;  // of both
  size_t prompt = 0;            // how many of them are the prompt's
};

// The two are encoded together and parted behind as many tokens as the prompt has by itself; white space at the prompt's end
// counts as the response's, since encoders join a space with the word behind it (the rules of lm-evaluation-harness).
PromptTokens encode_prompt(const Tokenizer& tokenizer, std::string_view prompt, std::string_view response);
// Each encoded by itself, for networks that read the prompt with an encoder. White space moves as above.
PromptTokens encode_apart(const Tokenizer& tokenizer, std::string_view prompt, std::string_view response);

}  // namespace lacuna
