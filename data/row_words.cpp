#include "data/row_words.h"

#include <ATen/ops/empty.h>

#include "data/tokenizer/bytes.h"

namespace lacuna {

int64_t RowWords::take(int32_t token) {
  const int64_t rest = limits_.row_length - length_++, full = limits_.full_word();
  const bool may_begin = words_ + (rest + full - 1) / full <= limits_.max_words;
  const bool begins = token == BytesTokenizer::kEnd                ? splitter_.take_end(may_begin)
                      : token >= 0 && token < BytesTokenizer::kEnd ? splitter_.take(static_cast<uint8_t>(token), may_begin)
                                                                   : splitter_.take_unknown(may_begin);
  words_ += begins;
  return words_ - 1;
}

at::Tensor row_words(const at::Tensor& tokens, const WordLimits& limits) {
  const auto from = tokens.contiguous();
  const auto words = at::empty(from.sizes(), from.options());
  const int64_t length = from.size(1);
  const auto* token = from.const_data_ptr<int32_t>();
  auto* word = words.data_ptr<int32_t>();
  for (int64_t row = 0; row < from.size(0); ++row) {
    RowWords numbered(limits);
    for (int64_t t = 0; t < length; ++t) *word++ = static_cast<int32_t>(numbered.take(*token++));
  }
  return words;
}

}  // namespace lacuna
