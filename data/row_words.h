// The words of a row of byte tokens, numbered, in a fixed number of slots.
#pragma once
#include <ATen/core/Tensor.h>

#include "data/tokenizer/word_splitter.h"

namespace lacuna {

struct WordLimits {
  int64_t row_length = 0;  // positions of the longest row
  int64_t max_words = 0;   // slots of a row
  int64_t max_bytes = 0;   // of a word

  // A word is full once no character fits into it, at the latest; the slots hold a row of such words.
  int64_t full_word() const { return max_bytes - 3; }
  bool suffice() const { return max_bytes >= 8 && max_words >= (row_length + full_word() - 1) / full_word(); }
};

// Numbers the words of one row, a token at a time. A row never has more words than slots and loses nothing: a word begins where
// the splitter says so as long as the slots behind it can hold the rest of the row in full words, and else the last word goes on.
// Text whose words are short on average has longer ones towards the end of its rows; what is decided at a token depends on its
// place and on those before it alone.
class RowWords {
 public:
  // `limits` must suffice().
  explicit RowWords(const WordLimits& limits) : limits_(limits), splitter_(limits.max_bytes) {}
  // The next token's word, counted from 0. Ids below 256 are bytes, 256 the end of a document, others stand for unknown bytes.
  int64_t take(int32_t token);
  int64_t length() const { return length_; }  // tokens taken
  int64_t num_words() const { return words_; }

 private:
  WordLimits limits_;
  WordSplitter splitter_;
  int64_t length_ = 0, words_ = 0;
};

// tokens (B, T) int32 on the host, T at most limits.row_length -> (B, T) int32, the number of each token's word.
at::Tensor row_words(const at::Tensor& tokens, const WordLimits& limits);

}  // namespace lacuna
