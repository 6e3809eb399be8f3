#include "data/tasks/topics.h"

#include <array>
#include <string_view>

#include "data/tasks/words.h"

namespace lacuna {
namespace {

struct Words {
  std::array<std::string_view, 8> nouns;
  std::array<std::string_view, 4> verbs;
};

constexpr Words kCommon = {{"man", "woman", "child", "day", "house", "friend", "thing", "place"},
                           {"saw", "found", "left", "had"}};
constexpr std::array<Words, kTopics> kWords = {{
    {{"ship", "sail", "harbor", "wave", "captain", "anchor", "storm", "shore"}, {"sailed", "moored", "steered", "sank"}},
    {{"oven", "bread", "pan", "salt", "cook", "soup", "knife", "butter"}, {"baked", "stirred", "tasted", "boiled"}},
    {{"song", "violin", "drum", "choir", "note", "piano", "singer", "tune"}, {"played", "sang", "tuned", "hummed"}},
    {{"soldier", "sword", "army", "camp", "shield", "general", "wall", "battle"}, {"fought", "marched", "guarded", "struck"}},
    {{"judge", "court", "law", "thief", "oath", "witness", "trial", "prison"}, {"swore", "judged", "accused", "pleaded"}},
    {{"rose", "seed", "spade", "tree", "hedge", "gardener", "fruit", "soil"}, {"planted", "watered", "pruned", "grew"}},
    {{"coin", "bank", "debt", "price", "merchant", "gold", "market", "trade"}, {"paid", "sold", "lent", "counted"}},
    {{"doctor", "fever", "wound", "nurse", "pill", "bone", "blood", "cure"}, {"healed", "bandaged", "coughed", "dosed"}},
}};

}  // namespace

std::string topic_text(int64_t topic, int64_t letters, Random random) {
  const auto& own = kWords[static_cast<size_t>(topic)];
  const auto words = [&]() -> const Words& { return random.below(2) == 0 ? own : kCommon; };
  std::string text;
  while (static_cast<int64_t>(text.size()) < letters) {
    text.append(text.empty() ? "the " : " the ").append(any_of(words().nouns, random)).append(" ");
    text.append(any_of(words().verbs, random)).append(" the ").append(any_of(words().nouns, random)).append(".");
  }
  return text;
}

}  // namespace lacuna
