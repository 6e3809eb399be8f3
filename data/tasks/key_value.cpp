#include "data/tasks/key_value.h"

#include <algorithm>
#include <array>

namespace lacuna {
namespace {

constexpr int64_t kLetters = 4;
constexpr std::array<std::string_view, 5> kPlaces = {"0", "0.25", "0.5", "0.75", "1"};

}  // namespace

SweptPlace swept_place(int64_t count, uint64_t turn) {
  const auto step = static_cast<int64_t>(turn % kPlaces.size());
  return {(step * (count - 1) + 2) / 4, std::string(kPlaces[static_cast<size_t>(step)])};
}

Example KeyValueTask::make(Draw draw) const {
  const auto words = different_words(2 * draw.size, [&] { return hex_word(kLetters, draw.split, draw.random); });
  const auto place = swept_place(draw.size, draw.turn);
  Example e;
  std::vector<std::string> pairs;
  for (int64_t i = 0; i < draw.size; ++i) {
    const auto &key = words[static_cast<size_t>(2 * i)], &value = words[static_cast<size_t>(2 * i + 1)];
    pairs.push_back(key + ": " + value);
    e.choices.push_back(" " + value);
  }
  e.correct = place.index;
  e.context = "{" + join(pairs, ", ") + "}\nkey: " + words[static_cast<size_t>(2 * place.index)] + "\nvalue:";
  e.answer = e.choices[static_cast<size_t>(e.correct)];
  e.slices = {{"gold", place.name}};
  few_choices(e, draw.random);
  return e;
}

}  // namespace lacuna
