#include "data/tasks/associative_recall.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace lacuna {
namespace {

constexpr int64_t kVocabulary = 8192;
constexpr double kPower = 0.01;

// `count` different numbers of [low, high), in random order.
std::vector<int64_t> different(int64_t low, int64_t high, int64_t count, Random& random) {
  std::vector<int64_t> all(static_cast<size_t>(high - low));
  std::iota(all.begin(), all.end(), low);
  for (int64_t i = 0; i < count; ++i)
    std::swap(all[static_cast<size_t>(i)], all[static_cast<size_t>(i + random.below(high - low - i))]);
  all.resize(static_cast<size_t>(count));
  return all;
}

// `count` of [0, space) without replacement, g with weight (g + 1)^(a - 1): the smallest of exponential variables with these
// rates (Efraimidis and Spirakis 2006).
std::vector<int64_t> gaps(int64_t space, int64_t count, Random& random) {
  std::vector<std::pair<double, int64_t>> times;
  for (int64_t g = 0; g < space; ++g) {
    times.emplace_back(-std::log1p(-random.uniform()) / std::pow(static_cast<double>(g + 1), kPower - 1), g);
  }
  std::partial_sort(times.begin(), times.begin() + count, times.end());
  std::vector<int64_t> drawn;
  for (int64_t i = 0; i < count; ++i) drawn.push_back(times[static_cast<size_t>(i)].second);
  return drawn;
}

}  // namespace

std::vector<int32_t> alphabet_of(const Tokenizer& tokenizer, int64_t most) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < tokenizer.vocabulary_size() && static_cast<int64_t>(ids.size()) < most; ++id) {
    if (id != tokenizer.end_token()) ids.push_back(id);
  }
  return ids;
}

AssociativeRecallTask::AssociativeRecallTask(TaskContext context)
    : Task("associative_recall", Disjoint::by_example, std::move(context)),
      alphabet_(alphabet_of(*context_.tokenizer, kVocabulary)) {}

Example AssociativeRecallTask::make(Draw draw) const {
  const int64_t n = draw.size, half = vocabulary() / 2;
  std::vector<int64_t> lengths;
  for (int64_t length = 16; length <= std::min<int64_t>(512, context_.length); length *= 2) {
    if (length >= 4 * n && (length >= 64 || 2 * length > context_.length)) lengths.push_back(length);
  }
  if (lengths.empty() || n >= half) return {};
  const int64_t length = lengths[draw.turn % lengths.size()];
  auto& random = draw.random;
  const auto keys = different(1, half, n, random), values = different(half, vocabulary(), n, random);
  const auto id = [&](int64_t index) { return alphabet_[static_cast<size_t>(index)]; };
  TokenRow row{.tokens = {}, .targets = {}, .asked = std::vector<uint8_t>(static_cast<size_t>(length)), .context = 2 * n};
  for (int64_t i = 0; i < n; ++i) {
    row.tokens.push_back(id(keys[static_cast<size_t>(i)]));
    row.tokens.push_back(id(values[static_cast<size_t>(i)]));
  }
  while (static_cast<int64_t>(row.tokens.size()) < length) row.tokens.push_back(id(random.below(vocabulary())));
  row.targets.assign(row.tokens.begin() + 1, row.tokens.end());
  row.targets.push_back(row.tokens[0]);  // not asked for
  const auto places = gaps((length - 2 * n) / 2, n, random);
  for (int64_t i = 0; i < n; ++i) {
    const auto slot = static_cast<size_t>(2 * n + 2 * places[static_cast<size_t>(i)]);
    row.tokens[slot] = id(keys[static_cast<size_t>(i)]);
    row.targets[slot] = id(values[static_cast<size_t>(i)]);
    row.asked[slot] = 1;
  }
  Example e;
  e.row = std::move(row);
  e.slices = {{"length", std::to_string(length)}};
  return e;
}

}  // namespace lacuna
