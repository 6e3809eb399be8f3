// Samples of counting tokens: what an objective did to a row is then easy to see.
#pragma once
#include <numeric>
#include <vector>

#include "data/batch.h"

namespace lacuna::testing {

// Sample `position` of `length` tokens: position * 7, position * 7 + 1, ... modulo `modulus`.
inline Sample counting_sample(int64_t position, int64_t length, int32_t modulus) {
  Sample s{.position = position, .tokens = std::vector<int32_t>(static_cast<size_t>(length)), .document_starts = {0}};
  std::iota(s.tokens.begin(), s.tokens.end(), static_cast<int32_t>(position * 7));
  for (auto& token : s.tokens) token %= modulus;
  return s;
}

inline std::vector<Sample> counting_samples(int64_t count, int64_t length, int32_t modulus) {
  std::vector<Sample> samples;
  for (int64_t i = 0; i < count; ++i) samples.push_back(counting_sample(i, length, modulus));
  return samples;
}

// One row of a (B, T) tensor as a list.
template <class T>
std::vector<T> row_of(const at::Tensor& tensor, int64_t row) {
  const auto values = tensor[row].contiguous();
  const auto* data = values.const_data_ptr<T>();
  return std::vector<T>(data, data + values.numel());  // braces would make a list of two booleans
}

}  // namespace lacuna::testing
