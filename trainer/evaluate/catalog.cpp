#include "trainer/evaluate/catalog.h"

#include <array>

#include "trainer/config/section.h"
#include "trainer/evaluate/byte_perturbation.h"
#include "trainer/evaluate/choices.h"
#include "trainer/evaluate/documents_qa.h"
#include "trainer/evaluate/key_value.h"
#include "trainer/evaluate/loss.h"
#include "trainer/evaluate/multitask.h"
#include "trainer/evaluate/probe.h"
#include "trainer/evaluate/smoothness.h"
#include "trainer/evaluate/source_attention.h"
#include "trainer/evaluate/task_evaluation.h"
#include "trainer/evaluate/thinking.h"
#include "trainer/evaluate/topic_probe.h"

namespace lacuna {
namespace {

template <class E>
constexpr EvaluationEntry entry(std::string_view name, std::string_view summary, bool reads_frames = false) {
  return {name, summary, []() -> std::unique_ptr<Evaluation> { return std::make_unique<E>(); }, reads_frames};
}
// Of a generated task that has nothing to add to the common figures.
std::unique_ptr<Evaluation> by_task(std::string_view task, std::vector<std::vector<std::string>> crossed = {}) {
  return std::make_unique<TaskEvaluation>(task, std::move(crossed));
}

constexpr std::array kEvaluations{
    entry<LossEvaluation>("loss", "mean loss on the validation corpora; of texts perplexity and bits per byte", true),
    entry<ChoicesEvaluation>("choices", "multiple choice by log-likelihood, from files of JSON lines"),
    EvaluationEntry{"needle", "a number hidden in held-out text, by depth and length",
                    [] {
                      return by_task("needle", {{"size", "depth"}});
                    }},
    entry<KeyValueEvaluation>("key_value", "the value of a key of a dictionary, by its size and the key's place"),
    entry<DocumentsQaEvaluation>("documents_qa", "a question that one of several documents answers, by its place"),
    EvaluationEntry{"associative_recall", "values of many keys, in tokens (MQAR)",
                    [] {
                      return by_task("associative_recall", {{"size", "length"}});
                    }},
    EvaluationEntry{"induction", "a random text once more, in tokens",
                    [] {
                      return by_task("induction", {{"kind", "size"}});
                    }},
    EvaluationEntry{"listops", "the value of nested list operations", [] { return by_task("listops"); }},
    EvaluationEntry{"dyck", "the bracket that closes, also beyond the sizes of training", [] { return by_task("dyck"); }},
    EvaluationEntry{"modular_arithmetic", "sums modulo 7, also beyond the sizes of training",
                    [] { return by_task("modular_arithmetic"); }},
    entry<MultitaskEvaluation>("multitask", "families of small questions, four of them never trained on"),
    entry<BytePerturbationEvaluation>("byte_perturbation",
                                      "what typing errors and capitals in a text's beginning cost its continuation"),
    entry<SmoothnessEvaluation>("smoothness", "how states of neighbouring tokens resemble one another"),
    entry<SourceAttentionEvaluation>("source_attention", "how much of attention stays on the source as targets grow many"),
    entry<TopicProbeEvaluation>("topic_probe", "a linear probe for what a text is about"),
    entry<ProbeEvaluation>("probe", "labels of recordings and pictures read off frozen states, beside three arms without", true),
    entry<KnnEvaluation>("knn", "the same by the nearest neighbours of frozen states", true),
    entry<FinetuneEvaluation>("finetune", "the whole network trained on few labels, beside three arms without pretraining", true),
    entry<LeaveOneGroupOutEvaluation>("leave_one_group_out", "labels of a speaker, or another group, that nothing was fitted to", true),
    entry<ThinkingEvaluation>("thinking", "the loss by the number of steps and of searches, of objectives that search"),
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
