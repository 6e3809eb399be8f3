#include "launch/study/study.h"

#include <algorithm>
#include <set>

#include "trainer/config/merge.h"
#include "trainer/config/section.h"
#include "trainer/config/toml_reader.h"

namespace lacuna {
namespace {

constexpr std::array<std::string_view, 6> kParts = {"study", "axis", "skip", "where", "cell", "claim"};

bool is_name(const std::string& name) {
  const auto good = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-' || c == '.'; };
  return !name.empty() && name.size() <= 60 && name.front() != '.' && std::all_of(name.begin(), name.end(), good);
}

const std::string& check_name(const std::string& name, const Place& place) {
  if (!is_name(name)) throw place.error("name = \"" + printable(name) + "\": a name is made of letters, digits, _, - and .");
  return name;
}

Section section_at(const std::string& name, const TomlTable& table, const Place& place) {
  return {name, std::make_shared<const SectionValues>(SectionValues{table, place})};
}

const TomlTable& table_of(const TomlValue& value, const std::string& what) {
  if (const auto* table = value.as<TomlTable>()) return *table;
  throw value.place.error(what + " must be a table, not " + describe_value(value));
}

// The tables of [[NAME]]; none where it is not written.
std::vector<const TomlValue*> tables(const TomlTable& parent, const std::string& name) {
  std::vector<const TomlValue*> found;
  const auto entry = parent.find(name);
  if (entry == parent.end()) return found;
  const auto* array = entry->second.as<TomlArray>();
  if (!array) throw entry->second.place.error("write it as [[" + name + "]], once for each");
  for (const auto& value : *array) {
    table_of(value, "[[" + name + "]]");
    found.push_back(&value);
  }
  return found;
}

struct ArmOptions {
  std::string name;
  std::vector<std::string> set;
};
template <class Visitor>
void describe(Visitor& visit, ArmOptions& o) {
  visit("name", o.name, "part of the names of its cells");
  visit("set", o.set, "section.key=value of its cells");
}

struct AxisOptions {
  std::string name;
};
template <class Visitor>
void describe(Visitor& visit, AxisOptions& o) {
  visit("name", o.name, "a column of cells.csv");
}

struct CellOptions {
  std::string name, from, teacher;
  std::vector<std::string> set, tasks;
};
template <class Visitor>
void describe(Visitor& visit, CellOptions& o) {
  visit("name", o.name, "the cell's name, or what follows FROM+");
  visit("from", o.from, "cell whose checkpoint it starts from and whose settings it has; * in it takes every cell that fits");
  visit("teacher", o.teacher, "cell whose run of the same seed is objective.teacher");
  visit("set", o.set, "section.key=value, over those of the cell that it starts from");
  visit("tasks", o.tasks, "evaluations of this cell; those of the study by default");
}

Axis read_axis(const TomlValue& value) {
  auto table = *value.as<TomlTable>();
  Axis axis;
  for (const auto* arm : tables(table, "arm")) {
    const auto options = section_at("axis.arm", *arm->as<TomlTable>(), arm->place).read<ArmOptions>();
    axis.arms.push_back({check_name(options.name, arm->place), options.set});
  }
  table.erase("arm");
  axis.name = check_name(section_at("axis", table, value.place).read<AxisOptions>().name, value.place);
  if (axis.arms.empty()) throw value.place.error("the axis \"" + axis.name + "\" has no [[axis.arm]] under it");
  return axis;
}

std::vector<std::string> words(const TomlValue& value) {
  if (const auto* word = value.as<std::string>()) return {*word};
  std::vector<std::string> list;
  if (const auto* array = value.as<TomlArray>()) {
    for (const auto& item : *array) {
      const auto* word = item.as<std::string>();
      if (!word) throw item.place.error("this must be a string, not " + describe_value(item));
      list.push_back(*word);
    }
    return list;
  }
  throw value.place.error("this must be a string or an array of strings, not " + describe_value(value));
}

// { axis = "arm", other = ["x", "y"] }
Filter read_filter(const TomlValue& value, const std::vector<Axis>& axes) {
  Filter filter;
  for (const auto& [key, arms] : table_of(value, "a choice of cells")) {
    const auto axis = std::find_if(axes.begin(), axes.end(), [&key = key](const Axis& a) { return a.name == key; });
    std::vector<std::string_view> names;
    for (const auto& a : axes) names.emplace_back(a.name);
    if (axis == axes.end()) {
      const auto near = nearest(key, names);
      throw arms.place.error("there is no axis \"" + printable(key) + "\"" + (near.empty() ? "" : "; did you mean " + near + "?"));
    }
    for (const auto& arm : words(arms)) {
      if (std::none_of(axis->arms.begin(), axis->arms.end(), [&](const Arm& a) { return a.name == arm; })) {
        throw arms.place.error("the axis \"" + key + "\" has no arm \"" + printable(arm) + "\"");
      }
      filter[key].push_back(arm);
    }
  }
  return filter;
}

// { axis = "arm", set = ["section.key=value"], tasks = ["loss"] }
Special read_special(const TomlValue& value, const std::vector<Axis>& axes) {
  auto table = *value.as<TomlTable>();
  Special special;
  for (const auto& [key, list] : {std::pair{"set", &special.sets}, {"tasks", &special.tasks}}) {
    const auto found = table.find(key);
    if (found == table.end()) continue;
    *list = words(found->second);
    table.erase(found);
  }
  if (special.sets.empty() && special.tasks.empty()) {
    throw value.place.error("[[where]] needs set = [\"section.key=value\", ...] or tasks = [...]");
  }
  special.filter = read_filter({std::move(table), value.place}, axes);
  return special;
}

std::string filter_text(const Filter& filter) {
  std::string text;
  for (const auto& [axis, arms] : filter) {
    for (const auto& arm : arms) text += (text.empty() ? "" : arm == arms.front() ? ", " : " or ") + arm;
  }
  return text;
}

// The cells that a claim's `a` or `b` chooses, and how it says so.
std::pair<std::vector<std::string>, std::string> read_choice(const TomlValue& value, const std::vector<Axis>& axes,
                                                             const std::vector<Cell>& cells) {
  std::vector<std::string> chosen;
  std::string text;
  if (const auto* pattern = value.as<std::string>()) {
    text = *pattern;
    for (const auto& cell : cells) {
      if (matches_pattern(cell.name, *pattern)) chosen.push_back(cell.name);
    }
  } else {
    const auto filter = read_filter(value, axes);
    text = filter_text(filter);
    for (const auto& cell : cells) {
      if (cell.from.empty() && matches(cell, filter)) chosen.push_back(cell.name);
    }
  }
  if (!chosen.empty()) return {chosen, text};
  std::string names;
  for (const auto& cell : cells) names += (names.empty() ? "" : ", ") + cell.name;
  throw value.place.error("\"" + printable(text) + "\" fits no cell (cells: " + names + ")");
}

Claim read_claim(const TomlValue& value, const std::vector<Axis>& axes, const std::vector<Cell>& cells) {
  auto table = *value.as<TomlTable>();
  const auto a = table.find("a"), b = table.find("b");
  Claim claim;
  if (a == table.end()) throw value.place.error("a claim needs a = the cell or cells that it is about");
  std::tie(claim.a, claim.a_text) = read_choice(a->second, axes, cells);
  if (b != table.end()) std::tie(claim.b, claim.b_text) = read_choice(b->second, axes, cells);
  table.erase("a");
  table.erase("b");
  const auto section = section_at("claim", table, value.place);
  claim.options = section.read<ClaimOptions>();
  for (const auto& [key, text] : {std::pair{"text", claim.options.text}, {"metric", claim.options.metric}}) {
    if (text.empty()) throw section.error(key, "a claim needs it");
  }
  try {
    claim.check = parse_check(claim.options.check);
  } catch (const Error& error) {
    throw section.error("check", error.what());
  }
  const bool needs_b = claim.check.operation != Operation::alone;
  if (needs_b != !claim.b.empty()) {
    throw section.error("check", needs_b ? "speaks of b, and the claim names none" : "does not speak of b, and the claim names one");
  }
  if (claim.options.quantity == Quantity::tokens_to_target && !needs_b) {
    throw section.error("quantity", "tokens_to_target needs b, whose last value is the target");
  }
  if (claim.options.quantity == Quantity::exponent && (claim.a.size() < 2 || (needs_b && claim.b.size() < 2))) {
    throw section.error("quantity", "an exponent is fitted over two cells or more of each arm");
  }
  return claim;
}

StudyOptions read_options(const TomlTable& root, const Place& place, std::filesystem::path& base) {
  const auto entry = root.find("study");
  if (entry == root.end()) throw place.error("a study needs a section [study] with name, base and seeds");
  const auto& table = table_of(entry->second, "[study]");
  const auto section = section_at("study", table, entry->second.place);
  auto options = section.read<StudyOptions>();
  check_name(options.name, entry->second.place);
  if (options.base.empty()) throw section.error("base", "names no config; say which one every cell starts with");
  base = (table.at("base").place.source->folder / options.base).lexically_normal();
  if (!std::filesystem::is_regular_file(base)) throw section.error("base", "there is no config " + base.string());
  if (options.seeds.empty()) throw section.error("seeds", "names no seed");
  if (std::set(options.seeds.begin(), options.seeds.end()).size() != options.seeds.size()) throw section.error("seeds", "names a seed twice");
  if (options.mpirun.empty()) throw section.error("mpirun", "names no launcher");
  if (options.title.empty()) options.title = options.name;
  return options;
}

}  // namespace

const Cell& Study::cell(const std::string& name) const {
  return *std::find_if(cells.begin(), cells.end(), [&](const Cell& c) { return c.name == name; });
}

Study read_study(const std::filesystem::path& file, const std::vector<std::string>& sets) {
  auto root = read_config(file);
  Study study;
  for (const auto& set : sets) {
    if (set.starts_with("study.")) {
      apply_set(root, set);
    } else {
      study.sets.push_back(set);
    }
  }
  const auto& table = *root.as<TomlTable>();
  for (const auto& [key, value] : table) {
    if (std::find(kParts.begin(), kParts.end(), key) != kParts.end()) continue;
    const auto near = nearest(key, {kParts.begin(), kParts.end()});
    throw value.place.error("[" + printable(key) + "] is not a part of a study" + (near.empty() ? "" : "; did you mean [" + near + "]?") +
                            " (parts: study, axis, skip, where, cell, claim)");
  }
  study.file = std::filesystem::absolute(file);
  study.options = read_options(table, root.place, study.base);

  std::vector<Axis> axes;
  for (const auto* value : tables(table, "axis")) axes.push_back(read_axis(*value));
  for (const auto& axis : axes) study.axes.push_back(axis.name);
  std::vector<Filter> skips;
  for (const auto* value : tables(table, "skip")) skips.push_back(read_filter(*value, axes));
  std::vector<Special> specials;
  for (const auto* value : tables(table, "where")) specials.push_back(read_special(*value, axes));
  std::vector<NamedCell> named;
  for (const auto* value : tables(table, "cell")) {
    const auto o = section_at("cell", *value->as<TomlTable>(), value->place).read<CellOptions>();
    named.push_back({check_name(o.name, value->place), o.from, o.set, o.tasks, value->place.text(), o.teacher});
  }
  study.cells = expand_cells(axes, skips, specials, named, study.options.tasks);
  if (study.cells.empty()) throw root.place.error("the study has no cells; give it an [[axis]] or a [[cell]]");
  for (const auto* value : tables(table, "claim")) study.claims.push_back(read_claim(*value, axes, study.cells));
  return study;
}

}  // namespace lacuna
