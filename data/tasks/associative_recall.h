// Multi-query associative recall (MQAR; Arora et al. 2023, "Zoology", and its released generator). Tokens, not words: of a
// vocabulary of V, keys come from [1, V/2) and values from [V/2, V). First n pairs of key and value; then each key once more, at
// even gaps that are drawn without replacement with p(g) ~ g^(a-1), a = 0.01, other slots random. A slot that holds a key for the
// second time is asked for its value; the slot behind it is random, so that the answer is never shown. (A row of training shows
// it there, since text is predicted from what was predicted.)
//
// V is the tokenizer's vocabulary without the end token, at most 8192. Size: pairs; rows are of 64, 128, 256 and 512 tokens as
// far as they hold 4 n and are not longer than the network's, slice "length".
#pragma once
#include "data/tasks/task.h"

namespace lacuna {

class AssociativeRecallTask : public Task {
 public:
  explicit AssociativeRecallTask(TaskContext context);
  int64_t vocabulary() const { return static_cast<int64_t>(alphabet_.size()); }

 protected:
  Example make(Draw draw) const override;
  std::vector<int64_t> own_sizes() const override { return {4, 8, 16, 32, 64}; }

 private:
  std::vector<int32_t> alphabet_;
};

// The tokenizer's ids but its end token's, at most `most` of them.
std::vector<int32_t> alphabet_of(const Tokenizer& tokenizer, int64_t most);

}  // namespace lacuna
