#include "data/tasks/documents_qa.h"

#include <array>

#include "data/tasks/key_value.h"

namespace lacuna {
namespace {

constexpr std::array<std::string_view, 12> kAttributes = {"color",  "owner",  "price", "shape", "origin", "age",
                                                          "weight", "flavor", "title", "sound", "use",    "name"};
constexpr std::array<std::string_view, 12> kFillers = {
    "it was written down long ago.", "few people know this.",    "a clerk made a note of it.", "this was checked twice.",
    "the paper has turned yellow.",  "nobody asked about it.",   "the ink is still clear.",    "it was found in a drawer.",
    "some say it will change.",      "there is a copy of this.", "the rest is missing.",       "it was told at a fair."};

}  // namespace

Example DocumentsQaTask::make(Draw draw) const {
  auto& random = draw.random;
  const auto word = [&] { return made_up_word(3, draw.split, random); };
  // The entity, one other for each document, and the values.
  const auto words = different_words(2 * draw.size + 1, word);
  std::vector<std::string> attributes(kAttributes.begin(), kAttributes.end());
  shuffle(attributes, random);
  const auto place = swept_place(draw.size, draw.turn);
  const auto &entity = words[0], &attribute = attributes[0];
  Example e;
  for (int64_t i = 0; i < draw.size; ++i) {
    const bool gold = i == place.index, shares_entity = !gold && random.below(2) == 0;
    const auto& about = gold || shares_entity ? entity : words[static_cast<size_t>(1 + i)];
    const auto& said = shares_entity
                           ? attributes[static_cast<size_t>(1 + random.below(static_cast<int64_t>(kAttributes.size()) - 1))]
                           : attribute;
    const auto& value = words[static_cast<size_t>(1 + draw.size + i)];
    e.context += "doc " + std::to_string(i + 1) + ": the " + said + " of " + about + " is " + value + ".";
    for (int filler = 0; filler < 2; ++filler) e.context.append(" ").append(any_of(kFillers, random));
    e.context += "\n";
    e.choices.push_back(" " + value);
  }
  e.context += "what is the " + attribute + " of " + entity + "?";
  e.correct = place.index;
  e.answer = e.choices[static_cast<size_t>(e.correct)];
  e.slices = {{"gold", place.name}};
  few_choices(e, random);
  return e;
}

}  // namespace lacuna
