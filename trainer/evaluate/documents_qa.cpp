#include "trainer/evaluate/documents_qa.h"

#include <algorithm>
#include <cctype>

#include "data/tokenizer/tokenizer.h"

namespace lacuna {
namespace {

constexpr int64_t kMoreTokens = 8;  // than the longest answer has

}  // namespace

std::string normalized_answer(std::string_view text) {
  std::string kept, out, word;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::ispunct(byte) == 0) kept += static_cast<char>(std::tolower(byte));
  }
  kept += ' ';
  for (const char c : kept) {
    if (std::isspace(static_cast<unsigned char>(c)) == 0) {
      word += c;
      continue;
    }
    if (!word.empty() && word != "a" && word != "an" && word != "the") out += (out.empty() ? "" : " ") + word;
    word.clear();
  }
  return out;
}

void DocumentsQaEvaluation::extend(const Answerer& answerer, const EvaluationContext& c, std::span<const Example> examples,
                                   std::vector<Outcome>& outcomes) const {
  std::vector<std::vector<int32_t>> prompts;
  int64_t longest = 0;
  for (const auto& e : examples) {
    auto asked = answerer.ask(e.context, e.answer);
    longest = std::max(longest, static_cast<int64_t>(asked.shown.size()));
    prompts.push_back(std::move(asked.context));
  }
  const auto written = answerer.write(prompts, std::min(longest + kMoreTokens, c.length - 1), "documents_qa, writing");
  for (size_t i = 0; i < examples.size(); ++i) {
    const bool holds =
        normalized_answer(c.tokenizer->decode(written[i])).find(normalized_answer(examples[i].answer)) != std::string::npos;
    outcomes[i].measures.push_back({"substring_match", holds ? 1.0 : 0.0, 1});
  }
}

void DocumentsQaEvaluation::conclude(nlohmann::ordered_json& line) const {
  double highest = 0, lowest = 1;
  for (const auto& [place, entry] : line["slices"]["gold"].items()) {
    highest = std::max(highest, entry["exact_match"].get<double>());
    lowest = std::min(lowest, entry["exact_match"].get<double>());
  }
  line["depth"] = highest - lowest;
  line["lost_in_the_middle"] = middle_loss(line, "exact_match");
}

}  // namespace lacuna
