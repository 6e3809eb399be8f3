#include "launch/study/results.h"

#include <algorithm>
#include <fstream>
#include <set>

#include "trainer/report/csv.h"
#include "trainer/report/scalars.h"

namespace lacuna {
namespace {

// Columns of cells.csv that come first, in this order.
const std::vector<std::string> kFirst = {"steps", "tokens",     "loss_tokens",  "flops", "tokens_before", "flops_before",
                                         "parameters", "wall_seconds"};

// Of a step's line: bookkeeping, no curve.
const std::set<std::string> kNoCurves = {"tokens", "tokens_seen", "targets", "seconds", "step"};

nlohmann::ordered_json read_json(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return nlohmann::ordered_json::parse(file, nullptr, false);
}

void read_metrics(const std::filesystem::path& path, RunRecord& record) {
  std::ifstream file(path, std::ios::binary);
  double targets = 0, seconds = 0;
  for (std::string text; std::getline(file, text);) {
    const auto line = nlohmann::ordered_json::parse(text, nullptr, false);
    if (!line.is_object()) continue;  // it is being written
    const auto step = line.value("step", int64_t{0});
    const bool trains = line.value("event", "") == "step";
    if (trains) {
      targets += line.value("targets", 0.0);
      seconds += line.value("seconds", 0.0);
      record.numbers["steps"] = static_cast<double>(step);
    }
    for (const auto& [name, value] : scalars_of(line)) {
      if (trains && kNoCurves.contains(name)) continue;
      record.curves[(trains ? "train/" : "") + name].push_back({step, value});
    }
  }
  record.numbers["loss_tokens"] = targets;
  record.numbers["wall_seconds"] = seconds;
}

void read_evaluation(const PlannedRun& run, RunRecord& record) {
  const auto kept = read_json(evaluation_file(run));
  if (!kept.is_object()) return;
  for (const auto& line : kept["lines"]) {
    for (const auto& [name, value] : scalars_of(line, /*slices=*/true)) record.numbers[name] = value;
    for (const auto& [name, value] : scalars_of(line)) record.figures.insert(name);
    if (const auto found = line.find("confusion"); found != line.end()) {
      const auto text = [&](const char* key) { return line.value(key, ""); };
      record.confusions[text("task") + "/" + text("arm") + "/" + text("label")] = {.classes = found->at("classes"),
                                                                                  .counts = found->at("counts")};
    }
  }
}

RunRecord read_record(const PlannedRun& run) {
  RunRecord record{.cell = run.cell, .seed = run.seed, .state = "unfinished", .reason = {}, .device = {}, .host = {}, .commit = {}, .numbers = {}, .figures = {}, .curves = {}};
  const auto facts = read_json(run.folder / "run.json");
  if (!facts.is_object()) return record;
  record.text_tokens_per_step = facts.value("text_tokens_per_step", 0.0);
  record.flops_per_step = facts.value("flops_per_step", 0.0);
  record.device = facts.value("device", "");
  record.host = facts.value("host", "");
  record.commit = facts.value("commit", "");
  read_metrics(run.folder / "metrics.jsonl", record);
  const double steps = record.numbers["steps"];
  record.numbers["tokens"] = steps * record.text_tokens_per_step;
  record.numbers["flops"] = steps * record.flops_per_step;
  record.numbers["parameters"] = facts.value("parameters", 0.0);
  record.numbers["tokens_before"] = record.numbers["flops_before"] = 0;
  for (const auto& [name, curve] : record.curves) {
    if (!name.starts_with("train/")) continue;
    const auto last = std::max<size_t>(1, curve.size() / 20);
    double sum = 0;
    for (size_t i = curve.size() - last; i < curve.size(); ++i) sum += curve[i].value;
    record.numbers[name] = sum / static_cast<double>(last);
    record.figures.insert(name);
  }
  read_evaluation(run, record);
  if (state_of(run) == RunState::trained && std::filesystem::exists(evaluation_file(run))) record.state = "done";
  return record;
}

}  // namespace

std::optional<double> RunRecord::number(const std::string& name) const {
  const auto found = numbers.find(name);
  return found == numbers.end() ? std::nullopt : std::optional(found->second);
}

std::vector<RunRecord> read_records(const std::vector<PlannedRun>& runs, const std::vector<Failure>& failures) {
  std::vector<RunRecord> records;
  for (const auto& run : runs) {
    records.push_back(read_record(run));
    auto& record = records.back();
    for (const auto& failure : failures) {
      if (failure.cell != run.cell || failure.seed != run.seed) continue;
      record.state = "failed";
      record.reason = failure.reason;
    }
    for (size_t i = 0; i + 1 < records.size(); ++i) {  // what it starts from comes before it
      if (runs[i].folder != run.from) continue;
      for (const std::string what : {"tokens", "flops"}) {
        record.numbers[what + "_before"] = records[i].numbers[what] + records[i].numbers[what + "_before"];
      }
    }
  }
  return records;
}

std::string cells_csv(const Study& study, const std::vector<RunRecord>& records) {
  std::set<std::string> names;
  for (const auto& record : records) {
    for (const auto& [name, value] : record.numbers) names.insert(name);
  }
  for (const auto& name : kFirst) names.erase(name);
  std::vector<std::string> numbers = kFirst, head = {"cell"};
  numbers.insert(numbers.end(), names.begin(), names.end());
  head.insert(head.end(), study.axes.begin(), study.axes.end());
  head.insert(head.end(), {"from", "seed", "state"});
  head.insert(head.end(), numbers.begin(), numbers.end());
  head.insert(head.end(), {"device", "host", "commit", "reason"});
  auto text = csv_line(head);
  for (const auto& record : records) {
    const auto& cell = study.cell(record.cell);
    std::vector<std::string> line = {record.cell};
    for (const auto& axis : study.axes) line.push_back(cell.arms.contains(axis) ? cell.arms.at(axis) : "");
    line.insert(line.end(), {cell.from, std::to_string(record.seed), record.state});
    for (const auto& name : numbers) {
      const auto value = record.number(name);
      line.push_back(value ? csv_number(*value) : "");
    }
    line.insert(line.end(), {record.device, record.host, record.commit, record.reason});
    text += csv_line(line);
  }
  return text;
}

std::vector<double> values_of(const std::vector<RunRecord>& records, const std::string& cell, const std::string& number) {
  std::vector<double> values;
  for (const auto& record : records) {
    const auto value = record.number(number);
    if (record.cell == cell && record.state == "done" && value) values.push_back(*value);
  }
  return values;
}

}  // namespace lacuna
