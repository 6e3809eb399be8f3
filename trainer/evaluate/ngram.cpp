#include "trainer/evaluate/ngram.h"

#include <cmath>

namespace lacuna {
namespace {

int64_t pair_of(int32_t a, int32_t b) { return static_cast<int64_t>(a) << 32 | static_cast<uint32_t>(b); }

int64_t count_in(const auto& counts, auto key) {
  const auto found = counts.find(key);
  return found == counts.end() ? 0 : found->second;
}

void keep_better(std::pair<int32_t, int64_t>& best, int32_t token, int64_t count) {
  if (count > best.second || (count == best.second && token < best.first)) best = {token, count};
}

}  // namespace

void Ngram::add(std::span<const int32_t> tokens) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    ++total_;
    keep_better(best_of_all_, tokens[i], ++counts_[tokens[i]]);
    if (i == 0) continue;
    ++followed_[tokens[i - 1]];
    keep_better(best_[tokens[i - 1]], tokens[i], ++pairs_[pair_of(tokens[i - 1], tokens[i])]);
  }
}

double Ngram::unigram(int32_t token) const {
  return (static_cast<double>(count_in(counts_, token)) + 1) / static_cast<double>(total_ + vocabulary_size_);
}

double Ngram::log_probability(int order, int32_t previous, std::span<const int32_t> tokens) const {
  double sum = 0;
  for (const auto token : tokens) {
    double p = unigram(token);
    if (order == 2) {
      p = (static_cast<double>(count_in(pairs_, pair_of(previous, token))) + p) /
          (static_cast<double>(count_in(followed_, previous)) + 1);
    }
    sum += std::log(p);
    previous = token;
  }
  return sum;
}

int32_t Ngram::likeliest(int order, int32_t previous) const {
  const auto found = best_.find(previous);
  return order == 2 && found != best_.end() ? found->second.first : best_of_all_.first;
}

}  // namespace lacuna
