// Text from a network, token by token.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "data/random.h"
#include "trainer/model/architecture.h"

namespace lacuna {

struct SamplingOptions {
  double temperature = 1.0;  // 0 = greedy
  int64_t top_k = 0;         // 0 = all
  double top_p = 1.0;        // nucleus sampling (Holtzman et al. 2020)
};

// One token from logits (V). Ties fall to the smaller id.
int32_t sample_token(const at::Tensor& logits, const SamplingOptions& options, Random& random);

struct ContinueOptions {
  int64_t max_tokens;
  int64_t context;          // longest row of the network; beyond it the older half of the text is forgotten
  int64_t vocabulary_size;  // of the tokenizer: special tokens of an objective are never said
  int32_t end_token;        // ends the text; not returned
};

// Starts to continue that many prompts, as Objective::generate and Architecture::generate do.
using StartGeneration = std::function<std::unique_ptr<Generation>(int64_t rows)>;

// The tokens that follow `prompt`, which is not empty. Collective over `world`, whose ranks share one network; all return the same.
std::vector<int32_t> continue_text(const StartGeneration& start, Communicator& world, const std::vector<int32_t>& prompt,
                                   const ContinueOptions& options, const SamplingOptions& sampling, uint64_t seed);

}  // namespace lacuna
