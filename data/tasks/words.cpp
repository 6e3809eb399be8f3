#include "data/tasks/words.h"

namespace lacuna {
namespace {

constexpr std::string_view kConsonants = "bdfgklmnprstvz", kVowels = "aeiou";

template <class Letter>
std::string of_split(Split split, int64_t count, const Letter& letter) {
  while (true) {
    std::string word;
    for (int64_t i = 0; i < count; ++i) word += letter();
    if (split_of(word) == split) return word;
  }
}

}  // namespace

Split split_of(std::string_view word) {
  return Random(0, 0).fork("split").fork(word).block(0)[0] % 2 == 0 ? Split::train : Split::test;
}

std::string hex_word(int64_t letters, Split split, Random& random) {
  return of_split(split, letters, [&] { return any_of(std::string_view("0123456789abcdef"), random); });
}

std::string digit_word(int64_t digits, Split split, Random& random) {
  return of_split(split, digits, [&] { return any_of(std::string_view("0123456789"), random); });
}

std::string made_up_word(int64_t syllables, Split split, Random& random) {
  return of_split(split, syllables, [&] { return std::string{any_of(kConsonants, random), any_of(kVowels, random)}; });
}

std::string join(const std::vector<std::string>& words, std::string_view between) {
  std::string out;
  for (const auto& word : words) out.append(out.empty() ? "" : between).append(word);
  return out;
}

}  // namespace lacuna
