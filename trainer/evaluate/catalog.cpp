#include "trainer/evaluate/catalog.h"

#include <array>

#include "trainer/config/section.h"
#include "trainer/evaluate/loss.h"
#include "trainer/evaluate/thinking.h"

namespace lacuna {
namespace {

constexpr std::array kEvaluations{
    EvaluationEntry{"loss", "mean loss, perplexity and bits per byte on the validation corpora",
                    []() -> std::unique_ptr<Evaluation> { return std::make_unique<LossEvaluation>(); }},
    EvaluationEntry{"thinking", "the loss by the number of steps and of searches, of objectives that search",
                    []() -> std::unique_ptr<Evaluation> { return std::make_unique<ThinkingEvaluation>(); }},
};

}  // namespace

std::span<const EvaluationEntry> evaluations() { return kEvaluations; }

const EvaluationEntry& find_evaluation(std::string_view name) {
  std::vector<std::string_view> names;
  for (const auto& entry : kEvaluations) {
    if (entry.name == name) return entry;
    names.push_back(entry.name);
  }
  const auto near = nearest(name, names);
  throw usage_error("there is no evaluation \"" + std::string(name) + "\"" +
                    (near.empty() ? "" : "; did you mean \"" + near + "\"?") + " (lacuna inspect --catalog lists them)");
}

}  // namespace lacuna
