#include "trainer/evaluate/choices.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>

#include "data/error.h"
#include "data/tokenizer/tokenizer.h"
#include "trainer/evaluate/ngram.h"
#include "trainer/evaluate/task_evaluation.h"

namespace lacuna {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kSamplesCounted = 256;  // of each validation corpus, for the baselines

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

// What follows the context, the space between them included.
std::string continuation(const MultipleChoice& question, const std::string& choice) {
  const bool joined = question.context.empty() || is_space(question.context.back()) || is_space(choice.front());
  return joined ? choice : " " + choice;
}

double characters(const std::string& text) {
  return static_cast<double>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

MultipleChoice question_of(const Json& line) {
  if (!line.is_object()) throw data_error("not an object in braces");
  const auto context = line.find("context"), choices = line.find("choices"), answer = line.find("answer");
  if (context == line.end() || !context->is_string()) throw data_error("no text in the field \"context\"");
  if (choices == line.end() || !choices->is_array() || choices->size() < 2)
    throw data_error("no list of two or more texts in \"choices\"");
  MultipleChoice question{.context = *context};
  for (const auto& choice : *choices) {
    if (!choice.is_string() || choice.get<std::string>().empty())
      throw data_error("\"choices\" holds something other than texts");
    question.choices.push_back(choice);
  }
  const auto place = [&]() -> int64_t {
    if (answer == line.end()) return -1;
    if (answer->is_number_integer()) return answer->get<int64_t>();
    if (!answer->is_string()) return -1;
    const auto found = std::find(question.choices.begin(), question.choices.end(), answer->get<std::string>());
    return found == question.choices.end() ? -1 : found - question.choices.begin();
  }();
  if (place < 0 || place >= static_cast<int64_t>(question.choices.size())) {
    throw data_error("\"answer\" is neither a place in \"choices\", from 0, nor one of them");
  }
  question.answer = place;
  return question;
}

// One rule's choice: the first with the highest value.
Measure chosen(const std::string& name, const std::vector<double>& values, int64_t answer) {
  const auto best = std::max_element(values.begin(), values.end()) - values.begin();
  return {name, best == answer ? 1.0 : 0.0, 1};
}

std::vector<double> divided(const std::vector<double>& values, const std::vector<std::string>& choices,
                            double (*size)(const std::string&)) {
  std::vector<double> out;
  for (size_t i = 0; i < values.size(); ++i) out.push_back(values[i] / size(choices[i]));
  return out;
}

Outcome judge(const MultipleChoice& question, std::span<const Said> said, std::span<const Said> alone) {
  std::vector<double> sums, information;
  for (size_t i = 0; i < said.size(); ++i) {
    sums.push_back(said[i].log_probability);
    information.push_back(said[i].log_probability - alone[i].log_probability);
  }
  const auto& right = said[static_cast<size_t>(question.answer)];
  return {.measures = {chosen("acc", sums, question.answer),
                       chosen("acc_norm", divided(sums, question.choices, characters), question.answer),
                       chosen("acc_bytes",
                              divided(sums, question.choices, [](const std::string& t) { return static_cast<double>(t.size()); }),
                              question.answer),
                       chosen("acc_mutual_info", information, question.answer),
                       {"is_greedy", right.exactly() ? 1.0 : 0.0, 1}},
          .log_probability = right.log_probability,
          .chance = 1.0 / static_cast<double>(question.choices.size()),
          .slices = {{"choices", std::to_string(question.choices.size())}}};
}

// Majority: the place at which most answers are. The models count the validation corpora, if there are any.
void add_baselines(Json& line, const EvaluationContext& c, const std::vector<MultipleChoice>& questions) {
  std::map<int64_t, int64_t> places;
  for (const auto& question : questions) ++places[question.answer];
  int64_t most = 0;
  for (const auto& [place, count] : places) most = std::max(most, count);
  line["majority"] = static_cast<double>(most) / static_cast<double>(questions.size());
  if (c.corpora.empty()) return;
  Ngram ngram(c.tokenizer->vocabulary_size());
  for (const auto& corpus : c.corpora) {
    for (int64_t i = 0; i < std::min(corpus->size(), kSamplesCounted); ++i) ngram.add(corpus->at(i).tokens);
  }
  for (const int order : {1, 2}) {
    double right = 0;
    for (const auto& question : questions) {
      std::vector<int32_t> context;
      c.tokenizer->encode(question.context, context);
      std::vector<double> sums;
      for (const auto& choice : question.choices) {
        std::vector<int32_t> tokens;
        c.tokenizer->encode(continuation(question, choice), tokens);
        sums.push_back(ngram.log_probability(order, context.empty() ? c.tokenizer->end_token() : context.back(), tokens));
      }
      right += chosen("", sums, question.answer).successes;
    }
    line[order == 1 ? "unigram" : "bigram"] = right / static_cast<double>(questions.size());
  }
}

}  // namespace

std::vector<MultipleChoice> read_choices(const std::string& path, int64_t most) {
  std::ifstream file(path);
  if (!file) throw data_error(path + " cannot be opened; evaluate.choices names files of JSON lines");
  std::vector<MultipleChoice> questions;
  std::string text;
  for (int64_t number = 1; static_cast<int64_t>(questions.size()) < most && std::getline(file, text); ++number) {
    if (std::all_of(text.begin(), text.end(), is_space)) continue;
    try {
      questions.push_back(question_of(Json::parse(text)));
    } catch (const Json::parse_error& e) {
      throw data_error(path + ":" + std::to_string(number) + ": not valid JSON: " + e.what());
    } catch (const Error& e) {
      throw data_error(path + ":" + std::to_string(number) + ": " + e.what());
    }
  }
  if (questions.empty()) throw data_error(path + " holds no questions");
  return questions;
}

std::optional<std::string> ChoicesEvaluation::misfit(const EvaluationPlan& plan) const {
  if (plan.options.choices.paths.empty()) {
    return "it reads questions from files: name them with evaluate.choices = [\"questions.jsonl\"]";
  }
  for (const auto& path : plan.options.choices.paths) read_choices(path, plan.options.examples);
  return cannot_answer(plan);
}

std::vector<Json> ChoicesEvaluation::run(const EvaluationContext& c) const {
  const Answerer answerer(c);
  std::vector<Json> lines;
  for (const auto& path : c.options.choices.paths) {
    const auto questions = read_choices(path, c.options.examples);
    std::vector<Asked> asked;  // every choice behind its context, then every choice behind nothing
    for (const bool with_context : {true, false}) {
      for (const auto& question : questions) {
        for (const auto& choice : question.choices) {
          asked.push_back(answerer.ask(with_context ? question.context : "", continuation(question, choice)));
        }
      }
    }
    const auto said = answerer.answer(asked, "choices");
    std::vector<Outcome> outcomes;
    size_t first = 0;
    for (const auto& question : questions) {
      const auto part = [&](size_t offset) { return std::span(said).subspan(offset + first, question.choices.size()); };
      outcomes.push_back(judge(question, part(0), part(said.size() / 2)));
      first += question.choices.size();
    }
    Json line{{"task", "choices"}, {"file", std::filesystem::path(path).filename().string()}};
    line.update(score(outcomes));
    const auto slices = line["slices"];
    line.erase("slices");
    add_baselines(line, c, questions);
    line["slices"] = slices;
    lines.push_back(line);
  }
  return lines;
}

}  // namespace lacuna
