#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "data/tasks/catalog.h"
#include "data/tasks/families.h"
#include "data/tasks/task_corpus.h"
#include "data/tasks/topics.h"
#include "data/tokenizer/bytes.h"

namespace lacuna {
namespace {

TaskContext context(int64_t length, std::vector<int64_t> sizes = {}) {
  return {.tokenizer = std::make_shared<BytesTokenizer>(), .length = length, .seed = 3, .sizes = std::move(sizes)};
}

std::string family_of(const Example& e) { return e.slices.front().second; }

TEST(Multitask, FourFamiliesAreHeldOutOfTraining) {
  EXPECT_GE(families().size(), 12u);
  std::set<std::string> held_out, trained, asked;
  for (const auto& family : families()) {
    if (family.held_out) held_out.emplace(family.name);
  }
  EXPECT_EQ(held_out.size(), 4u);
  const auto task = make_task("multitask", context(512));
  for (uint64_t i = 0; i < 300; ++i) {
    trained.insert(family_of(task->at(Split::train, i)));
    asked.insert(family_of(task->at(Split::test, i)));
  }
  EXPECT_EQ(asked.size(), families().size());
  EXPECT_EQ(trained.size(), families().size() - 4);
  for (const auto& name : held_out) EXPECT_FALSE(trained.contains(name));
}

TEST(Multitask, AnswersAreRight) {
  const auto draw = [](std::string_view name, uint64_t seed) {
    Random random(seed, 0);
    for (const auto& family : families()) {
      if (family.name == name) return family.draw(6, random);
    }
    throw std::invalid_argument(std::string(name));
  };
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const auto copy = draw("copy", seed), reverse = draw("reverse", seed), count = draw("count", seed),
               parity = draw("parity", seed), sum = draw("modular_sum", seed), majority = draw("majority", seed);
    EXPECT_EQ(copy.answer, copy.inputs[0]);
    EXPECT_EQ(std::string(reverse.answer.rbegin(), reverse.answer.rend()), reverse.inputs[0]);
    EXPECT_EQ(count.answer, std::to_string(std::count(count.inputs[1].begin(), count.inputs[1].end(), count.inputs[0][0])));
    EXPECT_EQ(parity.answer == "even", std::count(parity.inputs[0].begin(), parity.inputs[0].end(), '1') % 2 == 0);
    const auto a = sum.inputs[0][0] - '0', b = sum.inputs[0].back() - '0';
    EXPECT_EQ(sum.answer, std::to_string((a + b) % std::stoi(sum.inputs[1])));
    for (const auto& wrong : majority.wrong) {
      const auto& votes = majority.inputs[0];
      EXPECT_GT(std::count(votes.begin(), votes.end(), majority.answer[0]), std::count(votes.begin(), votes.end(), wrong[0]));
    }
  }
  EXPECT_EQ(worded("of {1} the {0} is", {"largest", "1 2"}), "of 1 2 the largest is");
  for (const auto& family : families()) {
    std::set<std::string_view> wordings(family.templates.begin(), family.templates.end());
    EXPECT_EQ(wordings.size(), kTemplates) << family.name;
    for (const auto pattern : wordings) EXPECT_NE(pattern.find("{0}"), std::string_view::npos) << pattern;
  }
}

TEST(TaskCorpus, RowsHoldExamplesWithTheirAnswersMarked) {
  const std::shared_ptr<const Task> task = make_task("key_value", context(128, {4}));
  const TaskCorpus corpus(task, 1, 129, "");
  EXPECT_TRUE(corpus.spec().responses);
  EXPECT_EQ(corpus.spec().content_hash, TaskCorpus(task, 1, 129, "").spec().content_hash);
  EXPECT_NE(corpus.spec().content_hash, TaskCorpus(task, 2, 129, "").spec().content_hash);
  const auto tokenizer = task->context().tokenizer;
  for (const int64_t index : {0, 1, 77, (1 << 20) - 1}) {
    const auto sample = corpus.at(index);
    EXPECT_EQ(sample.tokens, corpus.at(index).tokens);
    EXPECT_EQ(sample.tokens.size(), 129u);
    EXPECT_EQ(sample.responses.size(), 129u);
    ASSERT_GE(sample.document_starts.size(), 2u);
    EXPECT_EQ(sample.document_starts[0], 0);
    for (size_t d = 0; d + 1 < sample.document_starts.size(); ++d) {
      const auto begin = static_cast<size_t>(sample.document_starts[d]), end = static_cast<size_t>(sample.document_starts[d + 1]);
      EXPECT_EQ(sample.tokens[end - 1], tokenizer->end_token());
      EXPECT_EQ(std::count(sample.responses.begin() + static_cast<ptrdiff_t>(begin),
                           sample.responses.begin() + static_cast<ptrdiff_t>(end), 1),
                6)
          << "a space, four letters and the end";
    }
    for (auto t = static_cast<size_t>(sample.document_starts.back()); t < 129; ++t)
      EXPECT_EQ(sample.responses[t], 0) << "cut off";
  }
}

TEST(Topics, TextsUseTheirOwnWords) {
  const auto sea = topic_text(0, 400, Random(1, 0)), court = topic_text(4, 400, Random(1, 0));
  EXPECT_NE(sea, court);
  EXPECT_EQ(court.find("sailed"), std::string::npos);
  EXPECT_TRUE(sea.ends_with("."));
  EXPECT_GE(sea.size(), 400u);
}

}  // namespace
}  // namespace lacuna
