#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "data/tasks/associative_recall.h"
#include "data/tasks/catalog.h"
#include "data/tasks/key_value.h"
#include "data/tokenizer/bytes.h"
#include "tests/support/expect_error.h"

namespace lacuna {
namespace {

using testing::expect_error;

const std::string kSentence = "the quick fox saw the lazy dog again. ";

std::string hay(uint64_t number, int64_t tokens) {
  std::string text = std::to_string(number % 1000) + ". ";
  while (static_cast<int64_t>(text.size()) < tokens) text += kSentence;
  return text.substr(0, static_cast<size_t>(tokens));
}

TaskContext context(int64_t length = 512, std::vector<int64_t> sizes = {}) {
  return {
      .tokenizer = std::make_shared<BytesTokenizer>(), .length = length, .seed = 3, .sizes = std::move(sizes), .haystack = hay};
}

std::string text_of(const Example& e) {
  std::string text = e.context + "|" + e.answer;
  for (const auto& choice : e.choices) text += "|" + choice;
  for (const auto token : e.row.tokens) text += " " + std::to_string(token);
  for (const auto target : e.row.targets) text += " " + std::to_string(target);
  return text;
}

std::string slice(const Example& e, const std::string& name) {
  for (const auto& [key, value] : e.slices) {
    if (key == name) return value;
  }
  return "";
}

TEST(Tasks, AnExampleIsAFunctionOfSeedSplitAndNumber) {
  for (const auto& entry : tasks()) {
    SCOPED_TRACE(entry.name);
    const auto task = make_task(entry.name, context()), again = make_task(entry.name, context());
    auto other_context = context();
    other_context.seed = 4;
    const auto other = make_task(entry.name, other_context);
    int64_t differ = 0;
    for (uint64_t i = 0; i < 20; ++i) {
      EXPECT_EQ(text_of(task->at(Split::test, i)), text_of(again->at(Split::test, i)));
      differ += text_of(task->at(Split::test, i)) != text_of(other->at(Split::test, i));
    }
    EXPECT_GT(differ, 15);
  }
}

TEST(Tasks, WhatIsTrainedOnIsNotAskedInTests) {
  for (const auto& entry : tasks()) {
    SCOPED_TRACE(entry.name);
    const auto task = make_task(entry.name, context());
    std::set<std::string> trained;
    for (uint64_t i = 0; i < 200; ++i) trained.insert(text_of(task->at(Split::train, i)));
    for (uint64_t i = 0; i < 200; ++i) EXPECT_FALSE(trained.contains(text_of(task->at(Split::test, i))));
  }
}

// Keys, needles and entities belong to one split as words.
TEST(Tasks, KeysAndNeedlesAreWordsOfOneSplit) {
  const std::map<std::string, std::regex> words{{"key_value", std::regex("[0-9a-f]{4}(?=:)|: ([0-9a-f]{4})")},
                                                {"needle", std::regex("magic [a-z]+ number is:|[0-9]{7}")},
                                                {"documents_qa", std::regex("of ([a-z]{6}) is|is ([a-z]{6})\\.")}};
  for (const auto& [name, pattern] : words) {
    const auto task = make_task(name, context());
    std::set<std::string> seen[2];
    for (const auto split : {Split::train, Split::test}) {
      for (uint64_t i = 0; i < 100; ++i) {
        const auto text = task->at(split, i).context + ".";
        for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it) {
          seen[split == Split::test].insert((*it)[0]);
        }
      }
    }
    EXPECT_GT(seen[0].size(), 10u) << name;
    std::vector<std::string> both;
    std::set_intersection(seen[0].begin(), seen[0].end(), seen[1].begin(), seen[1].end(), std::back_inserter(both));
    EXPECT_TRUE(both.empty()) << name << ": " << both.front();
  }
}

TEST(Tasks, AnExampleFitsAndItsAnswerIsAmongDifferentChoices) {
  for (const auto& entry : tasks()) {
    SCOPED_TRACE(entry.name);
    const auto task = make_task(entry.name, context(300));
    for (uint64_t i = 0; i < 100; ++i) {
      const auto e = task->at(Split::test, i);
      const auto tokens = tokens_of(e, *task->context().tokenizer);
      EXPECT_LE(static_cast<int64_t>(e.row.tokens.empty() ? tokens.tokens.size() : e.row.tokens.size()), 300);
      EXPECT_EQ(tokens.tokens.size(), tokens.responses.size());
      EXPECT_GT(std::count(tokens.responses.begin(), tokens.responses.end(), 1), 0);
      if (!e.row.tokens.empty()) continue;
      EXPECT_EQ(e.choices.at(static_cast<size_t>(e.correct)), e.answer);
      EXPECT_EQ(std::set<std::string>(e.choices.begin(), e.choices.end()).size(), e.choices.size());
      EXPECT_GE(e.choices.size(), 2u);
      EXPECT_EQ(e.answer.front(), ' ');
    }
  }
}

TEST(Tasks, SizesThatRowsDoNotHoldAreLeftOutOrRefused) {
  const auto task = make_task("key_value", context(150));
  EXPECT_EQ(task->sizes(), (std::vector<int64_t>{4, 8}));
  EXPECT_EQ(task->sizes_left_out(), (std::vector<int64_t>{16, 32, 64}));
  expect_error(ExitCode::usage, "no examples of size 64 for rows of 150 tokens; raise batch.sequence_length or give other sizes", [] {
    make_task("key_value", context(150, {4, 64}));
  });
  expect_error(ExitCode::usage, "raise batch.sequence_length", [] { make_task("documents_qa", context(40)); });
  expect_error(ExitCode::usage, "there is no task \"needles\"; there are needle", [] { make_task("needles", context()); });
  auto without = context();
  without.haystack = {};
  expect_error(ExitCode::usage, "name a corpus under data.validation", [&] { make_task("needle", without); });
}

TEST(KeyValue, HasItsExactFormat) {
  const auto task = make_task("key_value", context(512, {4}));
  const std::regex format("\\{((?:[0-9a-f]{4}: [0-9a-f]{4}(?:, )?){4})\\}\nkey: ([0-9a-f]{4})\nvalue:");
  std::map<std::string, std::set<int64_t>> places;
  for (uint64_t i = 0; i < 50; ++i) {
    const auto e = task->at(Split::test, i);
    std::smatch match;
    ASSERT_TRUE(std::regex_match(e.context, match, format)) << e.context;
    const auto pairs = match[1].str();
    const auto at = pairs.find(match[2].str() + ":");
    EXPECT_EQ(pairs.substr(at + 5, 5), e.answer) << e.context;
    EXPECT_EQ(e.choices.size(), 4u);
    places[slice(e, "gold")].insert(static_cast<int64_t>(at / 12));
  }
  EXPECT_EQ(places["0"], std::set<int64_t>{0});
  EXPECT_EQ(places["1"], std::set<int64_t>{3});
  EXPECT_EQ(places.size(), 5u);
}

TEST(Needle, StandsBehindASentenceAtItsDepth) {
  const auto task = make_task("needle", context(512, {256, 512}));
  const std::regex needle("the special magic ([a-z]+) number is: ([0-9]{7})\\. ");
  for (uint64_t i = 0; i < 44; ++i) {
    const auto e = task->at(Split::test, i);
    std::smatch match;
    ASSERT_TRUE(std::regex_search(e.context, match, needle)) << e.context;
    EXPECT_EQ(" " + match[2].str(), e.answer);
    EXPECT_TRUE(e.context.ends_with("\nthe special magic " + match[1].str() + " number is:")) << e.context;
    const auto size = std::stoul(slice(e, "size"));
    EXPECT_LE(e.context.size() + e.answer.size(), size);
    EXPECT_GT(e.context.size() + e.answer.size(), size - 12);
    const auto place = static_cast<size_t>(match.position(0));
    if (place > 0) {
      EXPECT_EQ(e.context.substr(place - 2, 2), ". ");
    }
    const auto text = static_cast<double>(e.context.size() - static_cast<size_t>(match.length(0)) - 40);
    const double depth = std::stod(slice(e, "depth")) / 100;
    EXPECT_LE(static_cast<double>(place) / text, depth + 0.02);
    EXPECT_GE(static_cast<double>(place) / text, depth - 0.25);
    EXPECT_EQ(e.choices.size(), 10u);
  }
}

TEST(DocumentsQa, DistractorsShareEntityOrAttributeButNeverBoth) {
  const auto task = make_task("documents_qa", context(4000, {10}));
  const std::regex document("doc ([0-9]+): the ([a-z]+) of ([a-z]+) is ([a-z]+)\\. [^\n]+\\. [^\n]+\\.");
  const std::regex question("what is the ([a-z]+) of ([a-z]+)\\?");
  for (uint64_t i = 0; i < 20; ++i) {
    const auto e = task->at(Split::train, i);
    std::istringstream lines(e.context);
    std::vector<std::string> all;
    for (std::string line; std::getline(lines, line);) all.push_back(line);
    ASSERT_EQ(all.size(), 11u);
    std::smatch asked, said;
    ASSERT_TRUE(std::regex_match(all.back(), asked, question));
    int64_t gold = 0;
    for (size_t d = 0; d < 10; ++d) {
      ASSERT_TRUE(std::regex_match(all[d], said, document)) << all[d];
      EXPECT_EQ(said[1], std::to_string(d + 1));
      const bool attribute = said[2] == asked[1], entity = said[3] == asked[2];
      EXPECT_TRUE(attribute || entity) << all[d];
      if (!attribute || !entity) continue;
      ++gold;
      EXPECT_EQ(" " + said[4].str(), e.answer);
    }
    EXPECT_EQ(gold, 1);
  }
}

TEST(AssociativeRecall, IsWhatZoologySays) {
  const auto task = make_task("associative_recall", context(128));
  double even = 0, near = 0, asked_for = 0;
  for (uint64_t i = 0; i < 100; ++i) {
    const auto row = task->at(Split::test, i).row;
    const int64_t n = row.context / 2;
    std::map<int32_t, int32_t> table;
    for (int64_t k = 0; k < n; ++k) {
      const auto key = row.tokens[static_cast<size_t>(2 * k)], value = row.tokens[static_cast<size_t>(2 * k + 1)];
      EXPECT_TRUE(key >= 1 && key < 128 && value >= 128 && value < 256);
      EXPECT_TRUE(table.emplace(key, value).second) << "keys differ";
    }
    int64_t asked = 0;
    for (size_t t = 0; t < row.tokens.size(); ++t) {
      if (row.asked[t] == 0) continue;
      ++asked;
      EXPECT_GE(static_cast<int64_t>(t), row.context);
      EXPECT_EQ(t % 2, 0u) << "gaps are even";
      ASSERT_TRUE(table.contains(row.tokens[t]));
      EXPECT_EQ(row.targets[t], table[row.tokens[t]]);
      near +=
          static_cast<int64_t>(t) < row.context + static_cast<int64_t>(row.tokens.size() - static_cast<size_t>(row.context)) / 2;
      even += t + 1 < row.tokens.size() && row.tokens[t + 1] == row.targets[t];  // shown by chance alone
      ++asked_for;
    }
    EXPECT_EQ(asked, n) << "each key once";
  }
  EXPECT_LT(even, 0.05 * asked_for);
  EXPECT_GT(near, 0.55 * asked_for) << "p(g) ~ g^(a-1) puts most queries early";
}

TEST(Induction, AsksForTheSecondHalfAndForWhatWasAmongNoise) {
  const auto task = make_task("induction", context(64, {32}));
  for (uint64_t i = 0; i < 20; ++i) {
    const auto e = task->at(Split::test, i);
    const auto& row = e.row;
    if (slice(e, "kind") == "repeat") {
      for (size_t t = 16; t < 31; ++t) {
        EXPECT_EQ(row.asked[t], 1);
        EXPECT_EQ(row.tokens[t], row.tokens[t - 16]);
        EXPECT_EQ(row.targets[t], row.tokens[t - 15]);
      }
      EXPECT_EQ(std::count(row.asked.begin(), row.asked.end(), 1), 15);
    } else {
      std::vector<int32_t> data, wanted;
      for (size_t t = 0; t < row.tokens.size(); ++t) {
        if (row.tokens[t] > 1 && row.asked[t] == 0 && data.size() < 4) data.push_back(row.tokens[t]);
        if (row.asked[t] != 0) wanted.push_back(row.targets[t]);
      }
      EXPECT_EQ(wanted, data);
      EXPECT_EQ(wanted.size(), 4u);
    }
  }
}

// Slow and plain: reads the expression from its words.
int64_t value_of(std::istringstream& words) {
  std::string word;
  words >> word;
  if (word[0] != '[') return std::stoll(word);
  std::vector<double> values;
  while (words >> std::ws, words.peek() != ']') values.push_back(static_cast<double>(value_of(words)));
  words.get();
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  if (word == "[min") return static_cast<int64_t>(values[0]);
  if (word == "[max") return static_cast<int64_t>(values[n - 1]);
  if (word == "[med") return static_cast<int64_t>((values[(n - 1) / 2] + values[n / 2]) / 2);
  double sum = 0;
  for (const auto value : values) sum += value;
  return static_cast<int64_t>(sum) % 10;
}

TEST(Listops, ValuesAreThoseOfASlowEvaluator) {
  const auto task = make_task("listops", context(1024));
  std::set<std::string> answers;
  for (uint64_t i = 0; i < 150; ++i) {
    const auto e = task->at(Split::test, i);
    ASSERT_TRUE(e.context.ends_with(" ="));
    std::istringstream words(e.context.substr(0, e.context.size() - 2)), counted(e.context);
    EXPECT_EQ(" " + std::to_string(value_of(words)), e.answer) << e.context;
    answers.insert(e.answer);
    const auto count = std::distance(std::istream_iterator<std::string>(counted), {}) - 1;
    EXPECT_LE(count, std::stol(slice(e, "size")));
    EXPECT_GE(2 * count, std::stol(slice(e, "size")));
    EXPECT_LE(std::stol(slice(e, "depth")), 10);
  }
  EXPECT_EQ(answers.size(), 10u);
}

TEST(Dyck, TheAnswerClosesTheInnermostBracket) {
  const auto task = make_task("dyck", context());
  const std::string opening = "([{<", closing = ")]}>";
  for (const auto split : {Split::train, Split::test}) {
    for (uint64_t i = 0; i < 60; ++i) {
      const auto e = task->at(split, i);
      std::string open;
      for (const char c : e.context) {
        if (opening.find(c) != std::string::npos) open += c;
        if (const auto kind = closing.find(c); kind != std::string::npos) {
          ASSERT_EQ(open.back(), opening[kind]) << e.context;
          open.pop_back();
        }
      }
      ASSERT_FALSE(open.empty());
      EXPECT_EQ(e.answer, std::string(" ") + closing[opening.find(open.back())]);
      EXPECT_EQ(slice(e, "depth"), std::to_string(open.size()));
      if (split == Split::train) {
        EXPECT_EQ(slice(e, "beyond"), "no");
        EXPECT_LE(e.context.size(), 63u);
      }
    }
  }
}

TEST(ModularArithmetic, SumsFromLeftToRight) {
  const auto task = make_task("modular_arithmetic", context());
  for (uint64_t i = 0; i < 60; ++i) {
    const auto e = task->at(Split::test, i);
    std::istringstream words(e.context);
    int64_t value = 0, sign = 1;
    for (std::string word; words >> word && word != "mod";) {
      if (word == "+" || word == "-") {
        sign = word == "+" ? 1 : -1;
      } else {
        value += sign * std::stoll(word);
      }
    }
    EXPECT_EQ(e.answer, " " + std::to_string(((value % 7) + 7) % 7)) << e.context;
  }
}

}  // namespace
}  // namespace lacuna
