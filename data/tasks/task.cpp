#include "data/tasks/task.h"

#include <algorithm>

#include "data/error.h"
#include "data/prompt.h"

namespace lacuna {
namespace {

constexpr size_t kMostChoices = 10;
constexpr int kAttempts = 400;  // at an example of the right split that fits

std::string identity(const Example& e) {
  if (e.row.tokens.empty()) return e.context + e.answer;
  std::string text;
  for (const auto token : e.row.tokens) text += std::to_string(token) + " ";
  return text;
}

std::string list(const std::vector<int64_t>& values) {
  std::string out;
  for (const auto value : values) out += (out.empty() ? "" : ", ") + std::to_string(value);
  return out;
}

}  // namespace

Task::Task(std::string_view name, Disjoint disjoint, TaskContext context)
    : context_(std::move(context)), name_(name), disjoint_(disjoint) {}

int64_t Task::count_tokens(const std::string& text) const {
  std::vector<int32_t> tokens;
  context_.tokenizer->encode(text, tokens);
  return static_cast<int64_t>(tokens.size());
}

bool Task::fits(const Example& e) const {
  const auto count = e.row.tokens.empty() ? count_tokens(e.context + e.answer) : static_cast<int64_t>(e.row.tokens.size());
  return count > 0 && count <= context_.length;
}

// Redrawn until it is of the split and fits; an example without anything in it says that its size does not fit.
Example Task::draw(Split split, uint64_t number, int64_t size, uint64_t turn) const {
  const auto random = Random(context_.seed, 4).fork("task").fork(name_).fork(2 * number + (split == Split::test ? 1 : 0));
  for (uint64_t attempt = 0; attempt < kAttempts; ++attempt) {
    auto example = make({.split = split, .size = size, .turn = turn, .random = random.fork(attempt)});
    if (example.context.empty() && example.row.tokens.empty()) continue;
    if (disjoint_ == Disjoint::by_example && split_of(identity(example)) != split) continue;
    if (!fits(example)) continue;
    example.slices.emplace_back("size", std::to_string(size));
    return example;
  }
  return {};
}

void Task::choose_sizes() {
  const bool told = !context_.sizes.empty();
  for (const auto size : told ? context_.sizes : own_sizes()) {
    bool fits_always = true;
    for (uint64_t turn = 0; turn < num_turns() && fits_always; ++turn) {
      const auto example = draw(Split::test, turn, size, turn);
      fits_always = !example.context.empty() || !example.row.tokens.empty();
    }
    (fits_always ? sizes_ : left_out_).push_back(size);
  }
  if (sizes_.empty() || (told && !left_out_.empty())) {
    throw usage_error(name_ + ": there are no examples of size " + list(left_out_) + " for rows of " +
                      std::to_string(context_.length) + " tokens; raise batch.sequence_length" +
                      (told ? " or give other sizes" : ""));
  }
}

Example Task::at(Split split, uint64_t number) const {
  const auto count = static_cast<uint64_t>(sizes_.size());
  auto example = draw(split, number, sizes_[number % count], number / count);
  if (example.context.empty() && example.row.tokens.empty()) {
    throw usage_error(name_ + ": no example of size " + std::to_string(sizes_[number % count]) + " fits into " +
                      std::to_string(context_.length) + " tokens; give smaller sizes or raise batch.sequence_length");
  }
  return example;
}

ExampleTokens tokens_of(const Example& e, const Tokenizer& tokenizer) {
  ExampleTokens out;
  if (e.row.tokens.empty()) {
    auto encoded = encode_prompt(tokenizer, e.context, e.answer);
    out.responses.assign(encoded.tokens.size(), 1);
    std::fill_n(out.responses.begin(), encoded.prompt, uint8_t{0});
    out.tokens = std::move(encoded.tokens);
    return out;
  }
  const auto& row = e.row;
  const size_t count = row.tokens.size();
  out.tokens = {row.tokens[0]};
  out.responses = {0};
  for (size_t t = 0; t < count; ++t) {
    if (t + 1 == count && !row.asked[t]) break;
    out.tokens.push_back(row.asked[t] ? row.targets[t] : row.tokens[t + 1]);
    out.responses.push_back(row.asked[t]);
  }
  return out;
}

void shuffle_choices(Example& example, Random& random) {
  const auto answer = example.choices[static_cast<size_t>(example.correct)];
  shuffle(example.choices, random);
  example.correct = std::find(example.choices.begin(), example.choices.end(), answer) - example.choices.begin();
}

void few_choices(Example& example, Random& random) {
  std::swap(example.choices[0], example.choices[static_cast<size_t>(example.correct)]);
  example.correct = 0;
  std::vector<std::string> others(example.choices.begin() + 1, example.choices.end());
  shuffle(others, random);
  others.resize(std::min(others.size(), kMostChoices - 1));
  example.choices.resize(1);
  example.choices.insert(example.choices.end(), others.begin(), others.end());
  shuffle_choices(example, random);
}

}  // namespace lacuna
