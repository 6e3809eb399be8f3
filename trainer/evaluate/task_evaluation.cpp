#include "trainer/evaluate/task_evaluation.h"

#include <algorithm>
#include <map>

#include "data/error.h"
#include "data/tasks/catalog.h"
#include "data/tasks/corpus_text.h"
#include "trainer/evaluate/ngram.h"

namespace lacuna {
namespace {

using Json = nlohmann::ordered_json;

Asked asked_of(const TokenRow& row) {
  const auto context = static_cast<ptrdiff_t>(row.context);
  return {.context = {row.tokens.begin(), row.tokens.begin() + context},
          // The last slot's prediction is shown to nobody.
          .shown =
              [&] {
                std::vector<int32_t> shown(row.tokens.begin() + context, row.tokens.end());
                shown.push_back(row.targets.back());
                return shown;
              }(),
          .targets = {row.targets.begin() + context - 1, row.targets.end()},
          .counts = {row.asked.begin() + context - 1, row.asked.end()}};
}

std::vector<Outcome> answers_in_words(const Answerer& answerer, std::span<const Example> examples, const std::string& label) {
  std::vector<Asked> asked;
  for (const auto& e : examples) {
    for (const auto& choice : e.choices) asked.push_back(answerer.ask(e.context, choice));
  }
  const auto said = answerer.answer(asked, label);
  std::vector<Outcome> outcomes;
  auto first = said.begin();
  for (const auto& e : examples) {
    const auto last = first + static_cast<ptrdiff_t>(e.choices.size()), right = first + static_cast<ptrdiff_t>(e.correct);
    const auto best =
        std::max_element(first, last, [](const Said& a, const Said& b) { return a.log_probability < b.log_probability; });
    outcomes.push_back(
        {.measures = {{"exact_match", right->exactly() ? 1.0 : 0.0, 1}, {"accuracy", best == right ? 1.0 : 0.0, 1}},
         .log_probability = right->log_probability,
         .chance = 1.0 / static_cast<double>(e.choices.size()),
         .slices = e.slices});
    first = last;
  }
  return outcomes;
}

// Guessing: among as many tokens as the answers of this task were drawn from.
std::vector<Outcome> answers_in_tokens(const Answerer& answerer, std::span<const Example> examples, int64_t vocabulary_size,
                                       const std::string& label) {
  std::vector<Asked> asked;
  for (const auto& e : examples) asked.push_back(asked_of(e.row));
  const auto said = answerer.answer(asked, label);
  std::vector<Outcome> outcomes;
  for (size_t i = 0; i < examples.size(); ++i) {
    outcomes.push_back({.measures = {{"accuracy", static_cast<double>(said[i].correct), static_cast<double>(said[i].count)}},
                        .log_probability = said[i].log_probability / static_cast<double>(said[i].count),
                        .chance = 1.0 / static_cast<double>(vocabulary_size),
                        .slices = examples[i].slices});
  }
  return outcomes;
}

std::vector<int32_t> encoded(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<int32_t> tokens;
  tokenizer.encode(text, tokens);
  return tokens;
}

// The most frequent answer of the training examples: in words, or the token.
std::string majority_answer(std::span<const Example> examples) {
  std::map<std::string, int64_t> counts;
  for (const auto& e : examples) {
    for (size_t t = 0; t < e.row.asked.size(); ++t) {
      if (e.row.asked[t] != 0) ++counts[std::to_string(e.row.targets[t])];
    }
    if (e.row.tokens.empty()) ++counts[e.answer];
  }
  return std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; })->first;
}

void add_baselines(Json& line, const Tokenizer& tokenizer, std::span<const Example> train, std::span<const Example> test) {
  Ngram ngram(tokenizer.vocabulary_size());
  for (const auto& e : train) ngram.add(tokens_of(e, tokenizer).tokens);
  const auto most = majority_answer(train);
  double majority = 0, right[2] = {0, 0}, trials = 0;
  for (const auto& e : test) {
    for (size_t t = 0; t < e.row.asked.size(); ++t) {
      if (e.row.asked[t] == 0) continue;
      ++trials;
      majority += std::to_string(e.row.targets[t]) == most;
      for (const int order : {1, 2}) right[order - 1] += ngram.likeliest(order, e.row.tokens[t]) == e.row.targets[t];
    }
    if (!e.row.tokens.empty()) continue;
    ++trials;
    majority += e.answer == most;
    const auto context = encoded(tokenizer, e.context);
    for (const int order : {1, 2}) {
      double best = 0;
      size_t chosen = 0;
      for (size_t c = 0; c < e.choices.size(); ++c) {
        const double value = ngram.log_probability(order, context.back(), encoded(tokenizer, e.choices[c]));
        if (c == 0 || value > best) best = value, chosen = c;
      }
      right[order - 1] += chosen == static_cast<size_t>(e.correct);
    }
  }
  line["majority"] = majority / trials;
  line["unigram"] = right[0] / trials;
  line["bigram"] = right[1] / trials;
}

}  // namespace

std::optional<std::string> cannot_answer(const EvaluationPlan& plan) {
  if (plan.tokenizer == nullptr)
    return "its corpora have no tokenizer, so questions cannot be put into tokens; make them with lacuna prepare";
  if (plan.offers.generates) return std::nullopt;
  return "the network does not write on from a text, as one with architecture.visibility = \"causal\" or \"prefix\" does; leave "
         "the "
         "evaluation out";
}

std::unique_ptr<Task> task_for(std::string_view name, const EvaluationContext& c) {
  return make_task(name, {.tokenizer = c.tokenizer,
                          .length = c.length,
                          .seed = static_cast<uint64_t>(c.options.task_seed),
                          .sizes = c.options.sizes,
                          .haystack = find_task(name).needs_haystack ? haystack_of(c.corpora, c.tokenizer) : Haystack{}});
}

std::optional<std::string> TaskEvaluation::misfit(const EvaluationPlan& plan) const {
  if (auto reason = cannot_answer(plan)) return reason;
  const bool hides = find_task(task_).needs_haystack;
  if (hides && !plan.has_corpora)
    return "it hides questions in held-out text: name a corpus under data.validation or with --corpus";
  try {
    // Any text shows whether rows are long enough.
    const Haystack any = [](uint64_t, int64_t tokens) { return std::string(static_cast<size_t>(tokens), 'a'); };
    make_task(
        task_,
        {.tokenizer = plan.tokenizer, .length = plan.length, .sizes = plan.options.sizes, .haystack = hides ? any : Haystack{}});
  } catch (const Error& e) {
    return e.what();
  }
  return std::nullopt;
}

std::vector<Json> TaskEvaluation::run(const EvaluationContext& c) const {
  const auto task = task_for(task_, c);
  const auto draw = [&](Split split) {
    std::vector<Example> examples;
    for (int64_t i = 0; i < c.options.examples; ++i) examples.push_back(task->at(split, static_cast<uint64_t>(i)));
    return examples;
  };
  const auto test = draw(Split::test), train = draw(Split::train);
  const Answerer answerer(c);
  auto outcomes = test.front().row.tokens.empty() ? answers_in_words(answerer, test, task_)
                                                  : answers_in_tokens(answerer, test, c.tokenizer->vocabulary_size() - 1, task_);
  extend(answerer, c, test, outcomes);
  Json line{{"task", task_}};
  line.update(score(outcomes, crossed_));
  const auto slices = line["slices"];
  line.erase("slices");  // tables come last
  add_baselines(line, *c.tokenizer, train, test);
  line["sizes"] = task->sizes();
  if (!task->sizes_left_out().empty()) line["sizes_left_out"] = task->sizes_left_out();
  line["slices"] = slices;
  conclude(line);
  return {line};
}

double middle_loss(const Json& line, const std::string& measure) {
  const auto at = [&](const char* place) {
    return line["slices"]["gold"].contains(place) ? line["slices"]["gold"][place][measure].get<double>() : 0.0;
  };
  return (at("0") + at("1")) / 2 - at("0.5");
}

}  // namespace lacuna
