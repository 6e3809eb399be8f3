#include "launch/study/cells.h"

#include <algorithm>

#include "data/error.h"

namespace lacuna {
namespace {

// The product of the axes, the last one running fastest.
std::vector<Cell> product(const std::vector<Axis>& axes) {
  std::vector<Cell> cells;
  if (!axes.empty()) cells.emplace_back();
  for (const auto& axis : axes) {
    std::vector<Cell> longer;
    for (const auto& cell : cells) {
      for (const auto& arm : axis.arms) {
        auto next = cell;
        next.name += (cell.name.empty() ? "" : "-") + arm.name;
        next.arms[axis.name] = arm.name;
        next.sets.insert(next.sets.end(), arm.sets.begin(), arm.sets.end());
        longer.push_back(std::move(next));
      }
    }
    cells = std::move(longer);
  }
  return cells;
}

void add(std::vector<Cell>& cells, Cell cell, const std::string& place) {
  const auto same = [&](const Cell& other) { return other.name == cell.name; };
  if (std::any_of(cells.begin(), cells.end(), same)) {
    throw usage_error(place + ": there are two cells called \"" + cell.name + "\"; give this one another name");
  }
  cells.push_back(std::move(cell));
}

std::string names_of(const std::vector<Cell>& cells) {
  std::string names;
  for (const auto& cell : cells) names += (names.empty() ? "" : ", ") + cell.name;
  return names;
}

void add_named(std::vector<Cell>& cells, const NamedCell& named) {
  const auto teaches = [&](const Cell& cell) { return cell.name == named.teacher; };
  if (!named.teacher.empty() && std::none_of(cells.begin(), cells.end(), teaches)) {
    throw usage_error(named.place + ": teacher = \"" + named.teacher + "\" is no cell before this one (" + names_of(cells) + ")");
  }
  if (named.from.empty()) {
    add(cells, {.name = named.name, .arms = {}, .sets = named.sets, .from = {}, .tasks = named.tasks, .teacher = named.teacher},
        named.place);
    return;
  }
  const bool many = named.from.find('*') != std::string::npos;
  const auto before = cells;
  bool found = false;
  for (const auto& base : before) {
    if (!matches_pattern(base.name, named.from)) continue;
    found = true;
    auto cell = base;
    cell.name = many ? base.name + "+" + named.name : named.name;
    cell.from = base.name;
    cell.sets.insert(cell.sets.end(), named.sets.begin(), named.sets.end());
    if (!named.tasks.empty()) cell.tasks = named.tasks;
    if (!named.teacher.empty()) cell.teacher = named.teacher;
    add(cells, std::move(cell), named.place);
  }
  if (found) return;
  throw usage_error(named.place + ": from = \"" + named.from + "\" fits no cell before this one (" + names_of(before) + ")");
}

}  // namespace

bool matches(const Cell& cell, const Filter& filter) {
  return std::all_of(filter.begin(), filter.end(), [&](const auto& condition) {
    const auto own = cell.arms.find(condition.first);
    return own != cell.arms.end() &&
           std::find(condition.second.begin(), condition.second.end(), own->second) != condition.second.end();
  });
}

bool matches_pattern(const std::string& name, const std::string& pattern) {
  size_t at = 0, from = 0, star = std::string::npos, marked = 0;
  while (at < name.size()) {
    if (from < pattern.size() && pattern[from] == '*') {
      star = from++;
      marked = at;
    } else if (from < pattern.size() && pattern[from] == name[at]) {
      ++from, ++at;
    } else if (star != std::string::npos) {  // the last star takes one letter more
      from = star + 1;
      at = ++marked;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', from) == std::string::npos;
}

std::vector<Cell> expand_cells(const std::vector<Axis>& axes, const std::vector<Filter>& skips,
                               const std::vector<Special>& specials, const std::vector<NamedCell>& named,
                               const std::vector<std::string>& tasks) {
  auto cells = product(axes);
  std::erase_if(cells, [&](const Cell& cell) {
    return std::any_of(skips.begin(), skips.end(), [&](const Filter& skip) { return matches(cell, skip); });
  });
  for (auto& cell : cells) {
    for (const auto& special : specials) {
      if (!matches(cell, special.filter)) continue;
      cell.sets.insert(cell.sets.end(), special.sets.begin(), special.sets.end());
      if (!special.tasks.empty()) cell.tasks = special.tasks;
    }
  }
  for (const auto& one : named) add_named(cells, one);
  for (auto& cell : cells) {
    if (cell.tasks.empty()) cell.tasks = tasks;
  }
  return cells;
}

}  // namespace lacuna
