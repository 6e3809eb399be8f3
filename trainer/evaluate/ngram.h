// What counting gets: unigram and bigram models, the baselines that a table of answers stands beside.
#pragma once
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace lacuna {

// p(next) = (c(next) + 1) / (N + V); p(next | previous) = (c(previous, next) + k p(next)) / (c(previous) + k) with k = 1.
class Ngram {
 public:
  explicit Ngram(int64_t vocabulary_size) : vocabulary_size_(vocabulary_size) {}
  void add(std::span<const int32_t> tokens);
  // Sum over `tokens` of the natural logarithm; `previous` stands before the first. order: 1 or 2.
  double log_probability(int order, int32_t previous, std::span<const int32_t> tokens) const;
  // The likeliest token, ties to the smaller; for order 2 behind `previous`, of order 1 where that was never seen.
  int32_t likeliest(int order, int32_t previous) const;

 private:
  double unigram(int32_t token) const;
  int64_t vocabulary_size_;
  std::unordered_map<int32_t, int64_t> counts_, followed_;
  std::unordered_map<int64_t, int64_t> pairs_;
  std::unordered_map<int32_t, std::pair<int32_t, int64_t>> best_;  // per previous token
  std::pair<int32_t, int64_t> best_of_all_{0, 0};
  int64_t total_ = 0;
};

}  // namespace lacuna
