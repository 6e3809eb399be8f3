#include "data/tasks/catalog.h"

#include <array>

#include "data/error.h"
#include "data/tasks/associative_recall.h"
#include "data/tasks/documents_qa.h"
#include "data/tasks/dyck.h"
#include "data/tasks/induction.h"
#include "data/tasks/key_value.h"
#include "data/tasks/listops.h"
#include "data/tasks/modular_arithmetic.h"
#include "data/tasks/multitask.h"
#include "data/tasks/needle.h"

namespace lacuna {
namespace {

template <class T>
constexpr TaskEntry entry(std::string_view name, std::string_view summary, int64_t version, bool needs_haystack = false) {
  return {name, summary, version, needs_haystack,
          [](TaskContext context) -> std::unique_ptr<Task> { return std::make_unique<T>(std::move(context)); }};
}

constexpr std::array kTasks{
    entry<NeedleTask>("needle", "a number hidden in a long text", 1, /*needs_haystack=*/true),
    entry<KeyValueTask>("key_value", "the value of a key of a dictionary", 1),
    entry<DocumentsQaTask>("documents_qa", "a question that one of several documents answers", 1),
    entry<AssociativeRecallTask>("associative_recall", "values of many keys, in tokens (MQAR)", 1),
    entry<InductionTask>("induction", "a random text once more, in tokens", 1),
    entry<ListopsTask>("listops", "the value of nested list operations", 1),
    entry<DyckTask>("dyck", "the bracket that closes", 1),
    entry<ModularArithmeticTask>("modular_arithmetic", "sums modulo 7", 1),
    entry<MultitaskTask>("multitask", "many small families of questions, four of them held out", 1),
};

}  // namespace

std::span<const TaskEntry> tasks() { return kTasks; }

const TaskEntry& find_task(std::string_view name) {
  std::string known;
  for (const auto& entry : kTasks) {
    if (entry.name == name) return entry;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw usage_error("there is no task \"" + std::string(name) + "\"; there are " + known);
}

std::unique_ptr<Task> make_task(std::string_view name, TaskContext context) {
  auto task = find_task(name).make(std::move(context));
  task->choose_sizes();
  return task;
}

}  // namespace lacuna
