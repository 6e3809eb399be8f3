// What a network answers, by the same two ways for every evaluation and every architecture: the probability of a continuation
// from one forward pass and the head (or Objective::logits, where the objective thinks), and greedy writing through
// Objective::generate.
//
// A decoder reads context and continuation as one row; where its visibility is "prefix", the context is the mutually visible
// part. With an encoder the context goes there, and the decoder starts from the context's last token, as rows of prefix_language
// do, and reads no end token. Results do not depend on the layout beyond rounding.
#pragma once
#include <ATen/core/grad_mode.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/evaluate/evaluation.h"

namespace lacuna {

struct Asked {
  std::vector<int32_t> context;  // what is given; at least one token
  std::vector<int32_t> shown;    // what follows, as the network reads it
  std::vector<int32_t> targets;  // what it is to say in the place of each of `shown`
  std::vector<uint8_t> counts;   // which of the targets count; empty = all
};

struct Said {
  double log_probability = 0;  // natural logarithm, summed over the targets that count
  int64_t correct = 0;         // of these, how many are the likeliest token of the tokenizer's
  int64_t count = 0;
  bool exactly() const { return correct == count; }  // greedy writing gives the targets
};

class Answerer {
 public:
  explicit Answerer(const EvaluationContext& context);

  // A continuation of a text. The rules are lm-evaluation-harness's: white space at the context's end goes to the continuation; a
  // decoder's two are encoded together, an encoder's apart; an empty context is the end token; of what is longer than a row the
  // end is kept. Throws a data error where the continuation alone is longer than a row.
  Asked ask(std::string_view context, std::string_view continuation) const;

  // Collective; the same on every rank. `label` is what a progress bar says.
  std::vector<Said> answer(std::span<const Asked> asked, const std::string& label) const;

  // Collective; the same on every rank: up to `max_tokens` greedy tokens behind each prompt, up to an end token, which is left
  // out. Of a prompt that leaves no room for them in a row, the end is read.
  std::vector<std::vector<int32_t>> write(std::span<const std::vector<int32_t>> prompts, int64_t max_tokens,
                                          const std::string& label) const;

 private:
  Batch batch_of(std::span<const Asked* const> asked) const;
  void read(std::span<const Asked* const> asked, std::span<const size_t> places, at::Tensor& results) const;

  const EvaluationContext& context_;
  bool encoder_;
  Visibility visibility_;
};

// Puts the network into evaluation for a while, without gradients.
class Judging {
 public:
  explicit Judging(Architecture& architecture) : architecture_(architecture), trained_(architecture.is_training()) {
    architecture_.eval();
  }
  ~Judging() { architecture_.train(trained_); }
  Judging(const Judging&) = delete;
  Judging& operator=(const Judging&) = delete;

 private:
  const at::NoGradGuard no_grad_;
  Architecture& architecture_;
  bool trained_;
};

}  // namespace lacuna
