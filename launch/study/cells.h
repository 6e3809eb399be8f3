// The cells of a study: one per point of the product of its axes, without those that are skipped, then the cells that are named
// one by one, which may go on from another cell's checkpoint.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace lacuna {

// A value of an axis: a name and what it sets, as --set does.
struct Arm {
  std::string name;
  std::vector<std::string> sets;
};
struct Axis {
  std::string name;
  std::vector<Arm> arms;
};

// Axis -> arms; a cell matches where its arm of every named axis is among them.
using Filter = std::map<std::string, std::vector<std::string>>;

// Settings of the points of the product that match, after those of their arms.
struct Special {
  Filter filter;
  std::vector<std::string> sets, tasks;  // no tasks: those of the study
};

// A cell that is named in the study. `from`: the cell that it starts from, whose settings it has before its own; with * in it,
// every cell so far that fits, and the new ones are called FROM+NAME.
struct NamedCell {
  std::string name, from;
  std::vector<std::string> sets, tasks;
  std::string place = {};  // "study.toml:12:1", where it is written
  std::string teacher = {};  // cell that teaches it; empty = none
};

struct Cell {
  std::string name;
  std::map<std::string, std::string> arms;  // axis -> arm; none of a named cell that starts from nothing
  std::vector<std::string> sets;            // in the order in which they apply
  std::string from;                         // cell whose checkpoint its training starts from; empty = none
  std::vector<std::string> tasks;           // to evaluate after training
  std::string teacher = {};                 // cell whose run is its objective.teacher; empty = none
};

bool matches(const Cell& cell, const Filter& filter);
// * stands for any letters.
bool matches_pattern(const std::string& name, const std::string& pattern);

// A cell comes after those that it starts from and learns from. `tasks`: of the cells that name none. Throws usage Errors at the place of a
// named cell whose name is taken or whose `from` or `teacher` fits no cell before it.
std::vector<Cell> expand_cells(const std::vector<Axis>& axes, const std::vector<Filter>& skips,
                               const std::vector<Special>& specials, const std::vector<NamedCell>& named,
                               const std::vector<std::string>& tasks);

}  // namespace lacuna
