#include "data/tasks/induction.h"

#include <algorithm>

#include "data/tasks/associative_recall.h"

namespace lacuna {
namespace {

constexpr int64_t kVocabulary = 8192, kLeast = 8;

// Of a stream: slot t predicts what stands behind it, and is asked to from `first` on.
TokenRow row_of(std::vector<int32_t> stream, int64_t first, int64_t context) {
  TokenRow row{.tokens = {}, .targets = {}, .asked = {}, .context = context};
  row.tokens.assign(stream.begin(), stream.end() - 1);
  row.targets.assign(stream.begin() + 1, stream.end());
  row.asked.resize(row.tokens.size());
  std::fill(row.asked.begin() + first, row.asked.end(), uint8_t{1});
  return row;
}

}  // namespace

InductionTask::InductionTask(TaskContext context)
    : Task("induction", Disjoint::by_example, std::move(context)), alphabet_(alphabet_of(*context_.tokenizer, kVocabulary)) {}

std::vector<int64_t> InductionTask::own_sizes() const {
  const int64_t t = context_.length;
  return {t / 8, t / 4, t / 2, t};
}

TokenRow InductionTask::repeated(int64_t length, Random& random) const {
  const int64_t half = length / 2;
  std::vector<int32_t> stream;
  for (int64_t i = 0; i < half; ++i) stream.push_back(any_of(alphabet_, random));
  for (int64_t i = 0; i < half; ++i) stream.push_back(stream[static_cast<size_t>(i)]);
  return row_of(std::move(stream), half, half + 1);
}

TokenRow InductionTask::selected(int64_t length, Random& random) const {
  const int64_t count = std::max<int64_t>(2, length / 8), place = length - count - 1;
  const auto noise = alphabet_[0], mark = alphabet_[1];
  std::vector<uint8_t> chosen(static_cast<size_t>(place));
  std::fill_n(chosen.begin(), count, uint8_t{1});
  shuffle(chosen, random);
  std::vector<int32_t> stream, data;
  for (const auto is_data : chosen) {
    if (is_data != 0)
      data.push_back(alphabet_[static_cast<size_t>(2 + random.below(static_cast<int64_t>(alphabet_.size()) - 2))]);
    stream.push_back(is_data != 0 ? data.back() : noise);
  }
  stream.push_back(mark);
  stream.insert(stream.end(), data.begin(), data.end());
  return row_of(std::move(stream), place, place + 1);
}

Example InductionTask::make(Draw draw) const {
  if (draw.size < kLeast || draw.size > context_.length) return {};
  const bool repeats = draw.turn % 2 == 0;
  Example e;
  e.row = repeats ? repeated(draw.size, draw.random) : selected(draw.size, draw.random);
  e.slices = {{"kind", repeats ? "repeat" : "select"}};
  return e;
}

}  // namespace lacuna
