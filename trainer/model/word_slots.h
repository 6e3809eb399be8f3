// How the words of byte rows lie for networks that look inside of words: each word's bytes behind a head of its own, one word
// after the other, and behind the last one heads without bytes up to a number of slots that depends on the row's length alone. So
// shapes are static, nothing is padded with something that needs a mask, and a head without bytes is an ordinary, empty word.
#pragma once
#include <ATen/core/Tensor.h>

#include "trainer/kernels/attention.h"

namespace lacuna {

class WordSlots {
 public:
  // words (B, T) int32: each byte's word, from 0 without gaps, below max_words; no word has more bytes than max_bytes.
  WordSlots(const at::Tensor& words, int64_t max_words, int64_t max_bytes);

  int64_t num_heads() const { return num_heads_; }  // at least max_words
  // heads (B, num_heads, D) and bytes (B, T, D) in their slots: (B, num_heads + T, D).
  at::Tensor join(const at::Tensor& heads, const at::Tensor& bytes) const;
  // The first `count` heads (B, count, D), and the bytes (B, T, D), of joined slots.
  at::Tensor heads(const at::Tensor& slots, int64_t count) const;
  at::Tensor bytes(const at::Tensor& slots) const;
  // (B, slots) int64, counted within the word: 0 is its head.
  const at::Tensor& positions() const { return positions_; }
  // (B * slots) int64 each: where the word of a slot begins and ends, counted over all rows.
  const at::Tensor& first() const { return first_; }
  const at::Tensor& end() const { return end_; }
  // Attention inside of words: among all of a word's slots, or to those before a slot and itself.
  AttentionPattern within_words(bool causal) const;

 private:
  int64_t num_heads_, block_;
  at::Tensor order_,
      place_;           // (B * slots) int64: what is put into each slot, of heads and bytes one after the other; the inverse
  at::Tensor word_of_;  // (B, slots) int64
  at::Tensor positions_, first_, end_;
};

}  // namespace lacuna
