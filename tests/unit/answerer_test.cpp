#include "trainer/evaluate/answerer.h"

#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "tests/support/expect_error.h"
#include "tests/support/judged_network.h"
#include "tests/support/temporary_folder.h"
#include "trainer/evaluate/catalog.h"
#include "trainer/evaluate/choices.h"

namespace lacuna {
namespace {

using testing::expect_error;
using testing::small_architecture;
using testing::TemporaryFolder;
using testing::writers;

constexpr int64_t kLength = testing::JudgedNetwork::kLength;

struct Subject : testing::JudgedNetwork {
  explicit Subject(const Section& section, bool uniform = false) : JudgedNetwork(section, make_self_mesh(), uniform) {}
};

std::vector<int32_t> bytes(std::string_view text) { return {text.begin(), text.end()}; }

TEST(Answerer, AContinuationsProbabilityIsThatOfWritingIt) {
  for (const auto& section : writers()) {
    Subject subject(section);
    const auto context = subject.context();
    const Answerer answerer(context);
    const std::vector<std::string> contexts{"the first of them", "another", "and a third that is longer"},
        answers{" one", " two words", "3"};
    std::vector<Asked> asked;
    for (size_t i = 0; i < contexts.size(); ++i) asked.push_back(answerer.ask(contexts[i], answers[i]));
    const auto said = answerer.answer(asked, "");
    for (size_t i = 0; i < contexts.size(); ++i) {
      const auto generation = subject.network->generate(1);
      auto logits = generation->advance(at::tensor(bytes(contexts[i]), at::kInt).unsqueeze(0));
      double sum = 0;
      int64_t likeliest = 0;
      for (const int32_t token : bytes(answers[i])) {
        sum += at::log_softmax(logits, -1)[0][token].item<double>();
        likeliest += logits[0].narrow(0, 0, 257).argmax().item<int64_t>() == token;
        logits = generation->advance(at::full({1, 1}, token, at::kInt));
      }
      EXPECT_NEAR(said[i].log_probability, sum, 1e-4);
      EXPECT_EQ(said[i].correct, likeliest);
      EXPECT_EQ(said[i].count, static_cast<int64_t>(answers[i].size()));
      // Rows beside it change nothing.
      EXPECT_NEAR(answerer.answer(std::span(asked).subspan(i, 1), "")[0].log_probability, said[i].log_probability, 1e-4);
    }
  }
}

TEST(Answerer, WhatItWritesIsGreedy) {
  for (const auto& section : writers()) {
    Subject subject(section);
    const auto context = subject.context();
    const Answerer answerer(context);
    const std::vector<std::vector<int32_t>> prompts{bytes("abc"), bytes("wxyz"), bytes("cba"), bytes("another prompt")};
    const auto written = answerer.write(prompts, 6, "");
    for (size_t i = 0; i < prompts.size(); ++i) {
      ASSERT_EQ(written[i].size(), 6u);
      const Asked asked{.context = prompts[i], .shown = written[i], .targets = written[i], .counts = {}};
      EXPECT_TRUE(answerer.answer(std::span(&asked, 1), "")[0].exactly());
      auto other = asked;
      other.targets[3] = (other.targets[3] + 1) % 256;
      EXPECT_EQ(answerer.answer(std::span(&other, 1), "")[0].correct, 5);
    }
  }
}

TEST(Answerer, OnlyTargetsThatCountAreScored) {
  Subject subject(small_architecture("decoder"));
  const auto context = subject.context();
  const Answerer answerer(context);
  Asked whole{.context = bytes("ab"), .shown = bytes("cdef"), .targets = bytes("cdef"), .counts = {}};
  auto first = whole, rest = whole;
  first.counts = {1, 0, 0, 0};
  rest.counts = {0, 1, 1, 1};
  const std::vector<Asked> asked{whole, first, rest};
  const auto said = answerer.answer(asked, "");
  EXPECT_NEAR(said[1].log_probability + said[2].log_probability, said[0].log_probability, 1e-5);
  EXPECT_EQ(said[1].count, 1);
  EXPECT_EQ(said[2].count, 3);
}

TEST(Answerer, FollowsTheRulesOfTokenising) {
  Subject subject(small_architecture("decoder"));
  const auto context = subject.context();
  const Answerer answerer(context);
  EXPECT_EQ(answerer.ask("a ", "b").context, bytes("a"));
  EXPECT_EQ(answerer.ask("a ", "b").shown, bytes(" b")) << "white space goes to the continuation";
  EXPECT_EQ(answerer.ask("", "b").context, std::vector<int32_t>{256}) << "nothing is the end token";
  const std::string longer(60, 'x');
  EXPECT_EQ(answerer.ask(longer, "abcde").context.size(), kLength + 1 - 5u) << "the end is kept";
  expect_error(ExitCode::data, "does not fit rows of 48", [&] { answerer.ask("a", longer); });
}

TEST(Evaluations, AnIndifferentNetworkIsAtChanceWithEqualScores) {
  Subject subject(small_architecture("decoder"), /*uniform=*/true);
  subject.options.examples = 150;
  subject.options.sizes = {2};
  const auto context = subject.context();
  const Answerer answerer(context);
  const std::vector<Asked> asked{answerer.ask("what", " one"), answerer.ask("what", " two"), answerer.ask("what else", " six")};
  for (const auto& said : answerer.answer(asked, "")) EXPECT_NEAR(said.log_probability, -4 * std::log(257.0), 1e-4);

  const auto line = find_evaluation("key_value").make()->run(context)[0];
  EXPECT_EQ(line["chance"], 0.5);
  EXPECT_LE(line["accuracy_low"].get<double>(), 0.5);
  EXPECT_GE(line["accuracy_high"].get<double>(), 0.5);
  EXPECT_EQ(line["exact_match"], 0);
  EXPECT_NEAR(line["log_probability"].get<double>(), -5 * std::log(257.0), 1e-4);
  EXPECT_EQ(line["examples"], 150);
  EXPECT_EQ(line["slices"]["gold"].size(), 5u);
}

std::string choices_file(const TemporaryFolder& folder, bool reversed) {
  const auto path = folder / (reversed ? "reversed.jsonl" : "choices.jsonl");
  std::ofstream file(path);
  const std::vector<std::vector<std::string>> questions{
      {"the sky is", "blue", "loud", "a \u00fcber long one"}, {"two and two ", "4", "five", "six"}, {"so", "x y z", "y", "zz"}};
  for (size_t i = 0; i < questions.size(); ++i) {
    std::vector<std::string> choices(questions[i].begin() + 1, questions[i].end());
    if (reversed) std::reverse(choices.begin(), choices.end());
    file << "{\"context\": \"" << questions[i][0] << "\", \"choices\": [\"" << choices[0] << "\", \"" << choices[1] << "\", \""
         << choices[2] << "\"], \"answer\": \"" << questions[i][1 + i] << "\"}\n\n";
  }
  return path;
}

TEST(Choices, TheOrderOfChoicesPermutesAndNothingElse) {
  const TemporaryFolder folder;
  for (const auto& section : writers()) {
    Subject subject(section);
    subject.options.choices = {{choices_file(folder, false), choices_file(folder, true)}};
    const auto lines = find_evaluation("choices").make()->run(subject.context());
    ASSERT_EQ(lines.size(), 2u);
    for (const char* figure : {"acc", "acc_norm", "acc_bytes", "acc_mutual_info", "is_greedy"})
      EXPECT_EQ(lines[0][figure], lines[1][figure]) << figure;
    EXPECT_NEAR(lines[0]["log_probability"].get<double>(), lines[1]["log_probability"].get<double>(), 1e-4);
    EXPECT_EQ(lines[0]["chance"].get<double>(), 1.0 / 3);
    EXPECT_EQ(lines[0]["examples"], 3);
    EXPECT_EQ(lines[0]["file"], "choices.jsonl");
  }
}

// The four rules by hand.
TEST(Choices, FiguresAreThoseOfTheRules) {
  const TemporaryFolder folder;
  Subject subject(small_architecture("decoder"));
  const auto path = choices_file(folder, false);
  subject.options.choices = {{path}};
  const auto context = subject.context();
  const Answerer answerer(context);
  double right[4] = {0, 0, 0, 0};
  for (const auto& q : read_choices(path, 100)) {
    double best[4];
    int64_t chosen[4] = {-1, -1, -1, -1};
    for (size_t c = 0; c < q.choices.size(); ++c) {
      const bool space = !q.context.empty() && q.context.back() != ' ';
      const auto text = (space ? " " : "") + q.choices[c];
      const std::vector<Asked> asked{answerer.ask(q.context, text), answerer.ask("", text)};
      const auto said = answerer.answer(asked, "");
      const double sum = said[0].log_probability;
      const double letters = q.choices[c].starts_with("a \u00fc") ? 15 : static_cast<double>(q.choices[c].size());
      const double values[4] = {sum, sum / letters, sum / static_cast<double>(q.choices[c].size()),
                                sum - said[1].log_probability};
      for (int rule = 0; rule < 4; ++rule) {
        if (chosen[rule] < 0 || values[rule] > best[rule]) best[rule] = values[rule], chosen[rule] = static_cast<int64_t>(c);
      }
    }
    for (int rule = 0; rule < 4; ++rule) right[rule] += chosen[rule] == q.answer;
  }
  const auto line = find_evaluation("choices").make()->run(context)[0];
  const char* figures[4] = {"acc", "acc_norm", "acc_bytes", "acc_mutual_info"};
  for (int rule = 0; rule < 4; ++rule) EXPECT_NEAR(line[figures[rule]].get<double>(), right[rule] / 3, 1e-12) << figures[rule];
}

TEST(Choices, MistakesNameTheirLine) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& line, const std::string& words) {
    std::ofstream(folder / "bad.jsonl") << R"({"context": "", "choices": ["a", "b"], "answer": 1})"
                                        << "\n"
                                        << line << "\n";
    expect_error(ExitCode::data, "bad.jsonl:2: " + words, [&] { read_choices(folder / "bad.jsonl", 10); });
  };
  refused("{", "not valid JSON");
  refused("[]", "not an object");
  refused(R"({"choices": ["a", "b"], "answer": 1})", "no text in the field \"context\"");
  refused(R"({"context": "", "choices": ["a"], "answer": 0})", "no list of two or more texts");
  refused(R"({"context": "", "choices": ["a", "b"], "answer": 2})", "\"answer\" is neither a place");
  refused(R"({"context": "", "choices": ["a", "b"], "answer": "c"})", "\"answer\" is neither a place");
  expect_error(ExitCode::data, "cannot be opened", [&] { read_choices(folder / "absent.jsonl", 10); });
}

TEST(Evaluations, SayBeforehandWhatTheyLack) {
  const auto reason = [](const std::string& task, const std::string& visibility, int64_t length) {
    const EvaluationPlan plan{
        .offers = find_architecture(small_architecture("decoder")).offers(small_architecture("decoder", visibility), 1),
        .options = {},
        .has_corpora = false,
        .tokenizer = std::make_shared<BytesTokenizer>(),
        .length = length};
    return find_evaluation(task).make()->misfit(plan).value_or("");
  };
  EXPECT_EQ(reason("key_value", "causal", 256), "");
  EXPECT_EQ(reason("topic_probe", "full", 256), "");
  EXPECT_NE(reason("key_value", "full", 256).find("does not write on"), std::string::npos);
  EXPECT_NE(reason("key_value", "causal", 16).find("raise batch.sequence_length"), std::string::npos);
  EXPECT_NE(reason("needle", "causal", 256).find("name a corpus under data.validation"), std::string::npos);
  EXPECT_NE(reason("smoothness", "causal", 256).find("name a corpus under data.validation"), std::string::npos);
  EXPECT_NE(reason("loss", "causal", 256).find("name a corpus under data.validation"), std::string::npos);
  EXPECT_NE(reason("choices", "causal", 256).find("evaluate.choices"), std::string::npos);
}

TEST(Evaluations, LeaveTheNetworkAsItWas) {
  Subject subject(small_architecture("decoder"));
  subject.options.examples = 4;
  subject.options.sizes = {8};
  subject.network->train();
  for (const char* task : {"induction", "dyck", "topic_probe"}) {
    auto context = subject.context();
    if (std::string(task) == "topic_probe") context.options.examples = 16;
    const auto lines = find_evaluation(task).make()->run(context);
    EXPECT_EQ(lines, find_evaluation(task).make()->run(context)) << task;
    EXPECT_TRUE(subject.network->is_training()) << task;
    for (const auto& p : subject.table.list(*subject.network)) EXPECT_FALSE(p.value.grad().defined());
  }
}

}  // namespace
}  // namespace lacuna
