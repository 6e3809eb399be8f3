// Words that generators draw: each belongs to one split, told by its hash, so that what training saw as a key, a needle or an
// entity is never asked for in a test.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/random.h"

namespace lacuna {

enum class Split { train, test };

Split split_of(std::string_view word);

// Lower-case, of the split.
std::string hex_word(int64_t letters, Split split, Random& random);
std::string digit_word(int64_t digits, Split split, Random& random);
std::string made_up_word(int64_t syllables, Split split, Random& random);
// `count` words that differ; `draw` gives one.
template <class Draw>
std::vector<std::string> different_words(int64_t count, const Draw& draw) {
  std::vector<std::string> words;
  while (static_cast<int64_t>(words.size()) < count) {
    auto word = draw();
    bool seen = false;
    for (const auto& other : words) seen = seen || other == word;
    if (!seen) words.push_back(std::move(word));
  }
  return words;
}

template <class T>
void shuffle(std::vector<T>& items, Random& random) {
  for (size_t i = items.size(); i > 1; --i)
    std::swap(items[i - 1], items[static_cast<size_t>(random.below(static_cast<int64_t>(i)))]);
}
template <class Items>
const auto& any_of(const Items& items, Random& random) {
  return items[static_cast<size_t>(random.below(static_cast<int64_t>(std::size(items))))];
}

std::string join(const std::vector<std::string>& words, std::string_view between);

}  // namespace lacuna
