#include "data/tasks/listops.h"

#include <algorithm>
#include <array>

namespace lacuna {
namespace {

constexpr int64_t kMaxDepth = 10, kMaxArguments = 10;
constexpr double kDigit = 0.75;
constexpr std::array<std::string_view, 4> kOperations = {"min", "max", "med", "sm"};

struct Tree {
  std::string text = {};
  int64_t value = 0, words = 1, depth = 0;
};

int64_t apply(std::string_view operation, std::vector<int64_t> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  if (operation == "min") return values.front();
  if (operation == "max") return values.back();
  if (operation == "med") return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  int64_t sum = 0;
  for (const auto value : values) sum += value;
  return sum % 10;
}

// Gives up, with more words than allowed, where it grows beyond `most`.
Tree draw_tree(int64_t depth, int64_t most, Random& random) {
  if (depth > kMaxDepth || (depth > 1 && random.uniform() < kDigit)) {
    const int64_t digit = random.below(10);
    return {.text = std::to_string(digit), .value = digit};
  }
  const auto operation = any_of(kOperations, random);
  Tree tree{.text = "[" + std::string(operation), .words = 2};
  std::vector<int64_t> values;
  for (int64_t left = 2 + random.below(kMaxArguments - 1); left > 0 && (values.empty() || tree.words <= most); --left) {
    const auto part = draw_tree(depth + 1, most - tree.words, random);
    tree.text += " " + part.text;
    tree.words += part.words;
    tree.depth = std::max(tree.depth, part.depth);
    values.push_back(part.value);
  }
  tree.text += " ]";
  tree.value = apply(operation, values);
  ++tree.depth;
  return tree;
}

}  // namespace

Example ListopsTask::make(Draw draw) const {
  const auto tree = draw_tree(1, draw.size, draw.random);
  if (tree.words > draw.size || 2 * tree.words < draw.size) return {};
  Example e{.context = tree.text + " =", .answer = " " + std::to_string(tree.value)};
  for (int64_t digit = 0; digit < 10; ++digit) e.choices.push_back(" " + std::to_string(digit));
  e.correct = tree.value;
  e.slices = {{"depth", std::to_string(tree.depth)}};
  return e;
}

}  // namespace lacuna
