// Every generated task, one line each in catalog.cpp.
#pragma once
#include <memory>
#include <span>
#include <string_view>

#include "data/tasks/task.h"

namespace lacuna {

struct TaskEntry {
  std::string_view name, summary;
  int64_t version;  // goes up when the same seed gives other examples
  bool needs_haystack;
  std::unique_ptr<Task> (*make)(TaskContext context);
};

std::span<const TaskEntry> tasks();
// Throws a usage error that lists all where there is none of this name.
const TaskEntry& find_task(std::string_view name);
// With its sizes chosen.
std::unique_ptr<Task> make_task(std::string_view name, TaskContext context);

}  // namespace lacuna
