#include "data/tasks/needle.h"

#include <array>

#include "data/error.h"

namespace lacuna {
namespace {

constexpr int64_t kDigits = 7, kChoices = 10, kDepths = 11, kLeastHay = 8;
constexpr int kTrims = 16;
// Eight for each split.
constexpr std::array<std::string_view, 8> kTrainCities = {"lisbon", "nairobi", "toronto", "vienna",
                                                          "havana", "jakarta", "oslo",    "quito"};
constexpr std::array<std::string_view, 8> kTestCities = {"dakar",  "geneva", "kyoto", "lima",
                                                         "madrid", "prague", "sofia", "tunis"};

// At or before `place`, behind the end of a sentence; 0 where there is none.
size_t sentence_end(std::string_view text, size_t place) {
  for (size_t i = std::min(place, text.size()); i > 0; --i) {
    const char c = text[i - 1];
    if (c == '\n' || (c == ' ' && i > 1 && std::string_view(".!?").find(text[i - 2]) != std::string_view::npos)) return i;
  }
  return 0;
}

// The first of the cities, from a random one on, that the text does not name; "" where it names all.
std::string_view unnamed(const std::array<std::string_view, 8>& cities, const std::string& text, Random& random) {
  const auto first = static_cast<size_t>(random.below(8));
  for (size_t i = 0; i < cities.size(); ++i) {
    const auto city = cities[(first + i) % cities.size()];
    if (text.find(city) == std::string::npos) return city;
  }
  return "";
}

}  // namespace

NeedleTask::NeedleTask(TaskContext context) : Task("needle", Disjoint::by_words, std::move(context)) {
  if (!context_.haystack) {
    throw usage_error(
        "needle: there is no text to hide it in; name a corpus under data.validation, or beside the task in data.train");
  }
}

std::vector<int64_t> NeedleTask::own_sizes() const {
  const int64_t t = context_.length;
  return {t / 8, t / 4, t / 2, t};
}

Example NeedleTask::make(Draw draw) const {
  auto& random = draw.random;
  const auto numbers = different_words(kChoices, [&] { return digit_word(kDigits, draw.split, random); });
  auto hay = context_.haystack(random.bits(), draw.size);
  const std::string city(unnamed(draw.split == Split::train ? kTrainCities : kTestCities, hay, random));
  if (city.empty()) return {};
  const std::string cue = "the special magic " + city + " number is:";
  const std::string needle = cue + " " + numbers[0] + ". ";
  const auto depth = static_cast<int64_t>(draw.turn % kDepths) * 10;
  Example e;
  e.answer = " " + numbers[0];
  // Shortened until it is no longer than asked: tokens are not counted letter by letter.
  for (int trim = 0; trim < kTrims; ++trim) {
    const auto place = sentence_end(hay, hay.size() * static_cast<size_t>(depth) / 100);
    e.context = hay.substr(0, place) + needle + hay.substr(place) + "\n" + cue;
    const int64_t count = count_tokens(e.context + e.answer), excess = count - draw.size;
    if (excess <= 0) break;
    const size_t drop = std::max<size_t>(1, hay.size() * static_cast<size_t>(excess) / static_cast<size_t>(count));
    if (hay.size() < drop + static_cast<size_t>(kLeastHay)) return {};  // the size does not hold needle and question
    hay.resize(hay.size() - drop);
    while (!hay.empty() && (static_cast<unsigned char>(hay.back()) & 0x80) != 0) hay.pop_back();  // not inside a character
    e.context.clear();
  }
  if (e.context.empty()) return {};
  for (const auto& number : numbers) e.choices.push_back(" " + number);
  e.slices = {{"depth", std::to_string(depth)}};
  shuffle_choices(e, random);
  return e;
}

}  // namespace lacuna
