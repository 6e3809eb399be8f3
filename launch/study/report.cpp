#include "launch/study/report.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <set>
#include <thread>

#include "launch/version.h"
#include "trainer/report/screen.h"

namespace lacuna {
namespace {

std::string join(const std::set<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += word.empty() ? "" : (text.empty() ? "" : ", ") + word;
  return text;
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

std::string operation_text(Operation operation) {
  return operation == Operation::ratio ? "a / b" : operation == Operation::difference ? "a - b" : "a";
}

// Of a run's course, not of what it came to; they are in cells.csv.
const std::set<std::string> kNotShown = {"train/learning_rate", "train/grad_norm", "train/tokens_per_second"};

const std::vector<std::pair<std::string, std::string>> kCosts = {{"tokens", "tokens"},
                                                                {"loss_tokens", "loss tokens"},
                                                                {"flops", "FLOPs"},
                                                                {"flops_before", "FLOPs before"},
                                                                {"parameters", "parameters"},
                                                                {"wall_seconds", "seconds"}};

}  // namespace

std::string value_text(double value) {
  char text[48];
  if (!std::isfinite(value)) return "-";
  const double size = std::abs(value);
  if (size >= 1e4) {
    for (const auto& [unit, name] : {std::pair{1e18, "E"}, {1e15, "P"}, {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}}) {
      if (size < unit) continue;
      std::snprintf(text, sizeof text, "%.3g%s", value / unit, name);
      return text;
    }
  }
  if (value == std::floor(value)) {
    std::snprintf(text, sizeof text, "%.0f", value);
  } else if (size < 1e-4) {
    std::snprintf(text, sizeof text, "%.2e", value);
  } else {
    const int decimals = 3 - static_cast<int>(std::floor(std::log10(size)));
    std::snprintf(text, sizeof text, "%.*f", std::max(0, decimals), value);
  }
  return text;
}

std::string summary_text(const Summary& s) {
  if (s.count == 0) return "-";
  return value_text(s.mean) + (std::isfinite(s.standard_error) && s.standard_error > 0 ? " ± " + value_text(s.standard_error) : "");
}

std::string rule_text() {
  return "A claim is reproduced where its check holds under every seed, or on average with p < 0.05; not reproduced where the "
         "opposite does; undecided otherwise, and with fewer than three seeds. p and the 95 % interval are of a paired bootstrap over "
         "seeds (10,000 resamples of the per-seed comparison). With few seeds an interval says little more than the seeds themselves.";
}

std::string check_text(const Claim& claim) {
  auto text = claim.options.check + " of " + claim.options.metric;
  if (!claim.options.metric_b.empty()) text += " and " + claim.options.metric_b;
  if (claim.options.quantity == Quantity::tokens_to_target) text += " (tokens until it is where b ends)";
  if (claim.options.quantity == Quantity::exponent) text += " (exponent over tokens)";
  text += ", a = " + claim.a_text;
  return claim.b.empty() ? text : text + ", b = " + claim.b_text;
}

std::string finding_text(const Claim& claim, const ClaimResult& result) {
  const auto& j = result.judgement;
  if (j.values.count == 0) return j.reason + (result.note.empty() ? "" : "; " + result.note);
  return operation_text(claim.check.operation) + " = " + summary_text(j.values) + ", 95 % interval " + value_text(j.bootstrap.low) +
         " to " + value_text(j.bootstrap.high) + "; " + j.reason + (result.note.empty() ? "" : "; " + result.note);
}

std::string match_text(const ClaimResult& result) {
  std::string matched, differing;
  for (const auto& match : result.matches) {
    const auto name = match.what == "loss_tokens" ? "loss tokens" : match.what == "flops" ? "FLOPs" : match.what;
    if (match.matched) {
      matched += (matched.empty() ? "" : ", ") + name;
    } else {
      differing += (differing.empty() ? "" : "; ") + (name + " NOT matched: " + value_text(match.a) + " and " + value_text(match.b));
      if (match.b > 0) differing += " (" + value_text(match.a / match.b) + "x)";
    }
  }
  if (!matched.empty()) matched += " matched";
  return matched + (matched.empty() || differing.empty() ? "" : "; ") + differing;
}

ReportTable cost_table(const Report& report) {
  ReportTable table{.title = "What the cells cost, each run", .head = {"cell", "runs done"}, .rows = {}};
  for (const auto& [name, title] : kCosts) table.head.push_back(title);
  for (const auto& cell : report.study.cells) {
    const auto done = values_of(report.records, cell.name, "tokens").size();
    std::vector<std::string> row = {cell.name, std::to_string(done) + " of " + std::to_string(report.study.options.seeds.size())};
    for (const auto& [name, title] : kCosts) {
      const auto summary = summarize(values_of(report.records, cell.name, name));
      row.push_back(summary.count == 0 ? "-" : value_text(summary.mean));
    }
    table.rows.push_back(row);
  }
  return table;
}

std::vector<ReportTable> metric_tables(const Report& report) {
  std::map<std::string, std::set<std::string>> by_task;
  for (const auto& record : report.records) {
    for (const auto& name : record.figures) {
      if (!kNotShown.contains(name)) by_task[name.substr(0, name.rfind('/'))].insert(name);
    }
  }
  std::vector<ReportTable> tables;
  for (const auto& [task, names] : by_task) {
    ReportTable table{.title = task == "train" ? "Training, mean of the last twentieth of the steps" : "Task " + task,
                      .head = {"cell"},
                      .rows = {}};
    for (const auto& name : names) table.head.push_back(name.substr(task.size() + 1));
    for (const auto& cell : report.study.cells) {
      std::vector<std::string> row = {cell.name};
      for (const auto& name : names) row.push_back(summary_text(summarize(values_of(report.records, cell.name, name))));
      table.rows.push_back(row);
    }
    tables.push_back(std::move(table));
  }
  return tables;
}

ReportTable seed_table(const Claim& claim, const ClaimResult& result) {
  ReportTable table{.title = "", .head = {"seed", "a"}, .rows = {}};
  const bool two = !claim.b.empty();
  if (two) table.head.insert(table.head.end(), {"b", operation_text(claim.check.operation)});
  for (size_t i = 0; i < result.seeds.size(); ++i) {
    std::vector<std::string> row = {std::to_string(result.seeds[i]), value_text(result.a[i])};
    if (two) row.insert(row.end(), {value_text(result.b[i]), value_text(result.compared[i])});
    table.rows.push_back(row);
  }
  return table;
}

ReportTable missing_table(const Report& report) {
  ReportTable table{.title = "Runs that are not done", .head = {"cell", "seed", "state", "why"}, .rows = {}};
  for (const auto& record : report.records) {
    if (record.state != "done") table.rows.push_back({record.cell, std::to_string(record.seed), record.state, record.reason});
  }
  return table;
}

Report make_report(const Study& study, const std::vector<RunRecord>& records, const std::string& command) {
  Report report{.study = study, .records = records, .claims = {}, .origin = {}};
  for (const auto& claim : study.claims) report.claims.push_back(evaluate_claim(claim, records, study.options.tolerance));
  char date[64], host[256] = "";
  const std::time_t now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", std::gmtime(&now));
  ::gethostname(host, sizeof host - 1);
  std::string seeds;
  for (const auto seed : study.options.seeds) seeds += (seeds.empty() ? "" : ", ") + std::to_string(seed);
  std::set<std::string> commits, devices;
  for (const auto& record : records) commits.insert(record.commit), devices.insert(record.device);
  report.origin = {{"study", study.file.string()},
                   {"command", command},
                   {"seeds", seeds},
                   {"program", std::string("lacuna ") + LACUNA_VERSION + ", commit " + code_commit()},
                   {"runs made by commit", join(commits)},
                   {"device", join(devices)},
                   {"machine", std::string(host) + ", " + processor() + ", " +
                                   std::to_string(std::thread::hardware_concurrency()) + " threads"},
                   {"date", date}};
  return report;
}

}  // namespace lacuna
