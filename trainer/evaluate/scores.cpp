#include "trainer/evaluate/scores.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

namespace lacuna {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kNormal = 1.959963984540054;  // 97.5 % of a normal distribution lie below

std::string value_of(const Outcome& outcome, const std::string& slice) {
  for (const auto& [name, value] : outcome.slices) {
    if (name == slice) return value;
  }
  return "";
}

// Numbers by size, before words.
bool before(const std::string& a, const std::string& b) {
  char *end_a = nullptr, *end_b = nullptr;
  const double x = std::strtod(a.c_str(), &end_a), y = std::strtod(b.c_str(), &end_b);
  const bool number_a = !a.empty() && *end_a == '\0', number_b = !b.empty() && *end_b == '\0';
  if (number_a && number_b) return x < y;
  return number_a != number_b ? number_a : a < b;
}

std::string cell(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_number_float()) return value.dump();
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value.get<double>());
  return text;
}

bool is_bound(const std::string& key) { return key.ends_with("_low") || key.ends_with("_high"); }

// Lines of name and figures. Tables of tables get a line for each of the inner ones, named by both.
void add_rows(std::vector<std::vector<std::string>>& rows, const Json& table, const std::string& prefix) {
  for (const auto& [name, entry] : table.items()) {
    const std::string label = prefix.empty() ? name : prefix + " / " + name;
    const bool nested = entry.is_object() && !entry.empty() && entry.begin()->is_object();
    if (nested) {
      add_rows(rows, entry, label);
      continue;
    }
    std::vector<std::string> head = {""}, row = {label};
    for (const auto& [key, value] : entry.items()) {
      if (is_bound(key) || value.is_structured()) continue;
      head.push_back(key);
      row.push_back(cell(value));
    }
    if (rows.empty()) rows.push_back(head);
    rows.push_back(row);
  }
}

std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    out += "  ";
    for (size_t i = 0; i < row.size(); ++i) out += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    out.erase(out.find_last_not_of(' ') + 1);
    out += "\n";
  }
  return out;
}

// A line per class, a column per class that was told.
std::string confusion_table(const Json& confusion) {
  std::vector<std::vector<std::string>> rows = {{""}};
  for (const auto& name : confusion["classes"]) rows[0].push_back(name.get<std::string>());
  for (size_t i = 0; i < confusion["counts"].size(); ++i) {
    rows.push_back({rows[0][i + 1]});
    for (const auto& count : confusion["counts"][i]) rows.back().push_back(cell(count));
  }
  return "of each class, how many were told to be\n" + aligned(rows);
}

}  // namespace

Interval wilson(double successes, double trials) {
  if (trials <= 0) return {0, 1};
  const double share = successes / trials, z2 = kNormal * kNormal;
  const double middle = (share + z2 / (2 * trials)) / (1 + z2 / trials);
  const double half = kNormal / (1 + z2 / trials) * std::sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials));
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

Json tabulate(const std::vector<const Outcome*>& outcomes) {
  Json table;
  const auto count = static_cast<double>(outcomes.size());
  if (outcomes.empty()) return {{"examples", 0}};
  double log_probability = 0, chance = 0;
  std::vector<Measure> sums = outcomes.front()->measures;
  for (auto& sum : sums) sum.successes = sum.trials = 0;
  for (const auto* outcome : outcomes) {
    for (size_t i = 0; i < sums.size(); ++i) {
      sums[i].successes += outcome->measures[i].successes;
      sums[i].trials += outcome->measures[i].trials;
    }
    log_probability += outcome->log_probability;
    chance += outcome->chance;
  }
  for (const auto& sum : sums) {
    const auto [low, high] = wilson(sum.successes, sum.trials);
    table[sum.name] = sum.trials > 0 ? sum.successes / sum.trials : 0.0;
    table[sum.name + "_low"] = low;
    table[sum.name + "_high"] = high;
  }
  table["log_probability"] = log_probability / count;
  table["chance"] = chance / count;
  table["examples"] = outcomes.size();
  return table;
}

Json tabulate_by(const std::vector<const Outcome*>& outcomes, const std::vector<std::string>& slices) {
  if (slices.empty()) return tabulate(outcomes);
  std::map<std::string, std::vector<const Outcome*>, decltype(&before)> groups(&before);
  for (const auto* outcome : outcomes) groups[value_of(*outcome, slices.front())].push_back(outcome);
  Json table = Json::object();
  for (const auto& [value, members] : groups) table[value] = tabulate_by(members, {slices.begin() + 1, slices.end()});
  return table;
}

Json score(const std::vector<Outcome>& outcomes, const std::vector<std::vector<std::string>>& crossed) {
  std::vector<const Outcome*> all;
  for (const auto& outcome : outcomes) all.push_back(&outcome);
  Json line = tabulate(all);
  auto& slices = line["slices"] = Json::object();
  if (outcomes.empty()) return line;
  for (const auto& [name, value] : outcomes.front().slices) slices[name] = tabulate_by(all, {name});
  for (const auto& names : crossed) {
    std::string joined;
    for (const auto& name : names) joined += (joined.empty() ? "" : "_by_") + name;
    slices[joined] = tabulate_by(all, names);
  }
  return line;
}

std::string headline(const Json& line) {
  std::string out;
  for (const auto& [key, value] : line.items()) {
    if (value.is_structured() || is_bound(key)) continue;
    out += (out.empty() ? "" : "  ") + (key == "task" ? cell(value) : key + " " + cell(value));
  }
  return out;
}

std::string readable(const Json& line) {
  std::string out;
  for (const auto& [key, value] : line.items()) {
    if (is_bound(key) || value.is_object()) continue;
    out += key + std::string(key.size() < 24 ? 24 - key.size() : 1, ' ') + cell(value);
    if (line.contains(key + "_low")) out += "  [" + cell(line[key + "_low"]) + ", " + cell(line[key + "_high"]) + "]";
    out += "\n";
  }
  if (line.contains("slices")) {
    for (const auto& [name, table] : line["slices"].items()) {
      std::vector<std::vector<std::string>> rows;
      add_rows(rows, table, "");
      out += "by " + name + "\n" + aligned(rows);
    }
  }
  if (line.contains("confusion")) out += confusion_table(line["confusion"]);
  return out;
}

}  // namespace lacuna
