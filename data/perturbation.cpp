#include "data/perturbation.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <vector>

#include "data/tokenizer/utf8.h"

namespace lacuna {
namespace {

constexpr size_t kShortestWord = 4;

// A word's letters, changed, to `out`; `first` numbers them in the text, which is what draws are keyed by.
void append_word(std::vector<uint32_t> word, int64_t first, Perturbation kind, double rate, const Random& random,
                 std::string& out) {
  if (word.size() < kShortestWord) rate = 0;
  for (size_t i = 0; i < word.size(); ++i) {
    if (kind == Perturbation::capitals) {
      append_utf8(word.size() < kShortestWord ? word[i] : static_cast<uint32_t>(u_toupper(static_cast<UChar32>(word[i]))), out);
      continue;
    }
    auto drawn = random.fork(static_cast<uint64_t>(first) + i);
    const bool changes = drawn.uniform() < rate;
    if (changes && kind == Perturbation::remove) continue;
    if (changes && kind == Perturbation::replace) {
      const auto letter = static_cast<uint32_t>('a' + drawn.below(25));
      append_utf8(letter < word[i] || word[i] < 'a' || word[i] > 'z' ? letter : letter + 1, out);  // never the same
      continue;
    }
    if (changes && kind == Perturbation::swap && i + 1 < word.size()) {
      append_utf8(word[i + 1], out);
      append_utf8(word[i], out);
      ++i;
      continue;
    }
    append_utf8(word[i], out);
  }
}

}  // namespace

std::string perturbed(std::string_view text, Perturbation kind, double rate, const Random& random) {
  std::string out;
  std::vector<uint32_t> word;
  int64_t letters = 0;
  const auto close = [&] {
    append_word(word, letters, kind, rate, random, out);
    letters += static_cast<int64_t>(word.size());
    word.clear();
  };
  const auto length = static_cast<int32_t>(text.size());
  for (int32_t i = 0; i < length;) {
    const int32_t begin = i;
    UChar32 c = 0;
    U8_NEXT(text.data(), i, length, c);
    if (c >= 0 && u_isalpha(c)) {
      word.push_back(static_cast<uint32_t>(c));
    } else {
      close();
      out.append(text.substr(static_cast<size_t>(begin), static_cast<size_t>(i - begin)));
    }
  }
  close();
  return out;
}

}  // namespace lacuna
