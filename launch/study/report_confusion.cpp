#include <array>

#include "launch/study/report.h"
#include "trainer/report/confusion_chart.h"
#include "trainer/report/svg.h"

namespace lacuna {
namespace {

constexpr size_t kFewPictures = 4;  // more are folded away

struct Picture {
  std::string metric;  // TASK/ARM/LABEL
  Confusion confusion;
};

// Of a cell's done runs, counts of the seeds together, in the order of the evaluations' names.
std::map<std::string, std::vector<Picture>> pictures_by_task(const Report& report, const Cell& cell) {
  std::map<std::string, Confusion> together;
  for (const auto& record : report.records) {
    if (record.cell != cell.name || record.state != "done") continue;
    for (const auto& [metric, confusion] : record.confusions) together[metric].add(confusion);
  }
  std::map<std::string, std::vector<Picture>> by_task;
  for (auto& [metric, confusion] : together)
    by_task[metric.substr(0, metric.find('/'))].push_back({metric, std::move(confusion)});
  return by_task;
}

// "accuracy 0.629, 95 % interval of a run 0.573 to 0.682"
std::string caption(const Report& report, const Cell& cell, const std::string& metric) {
  std::array<Summary, 3> found;
  for (size_t i = 0; i < 3; ++i) {
    const std::array suffixes = {"", "_low", "_high"};
    found[i] = summarize(values_of(report.records, cell.name, metric + "/accuracy" + suffixes[i]));
    if (found[i].count == 0) return "";
  }
  return "accuracy " + value_text(found[0].mean) + ", 95 % interval of a run " + value_text(found[1].mean) + " to " +
         value_text(found[2].mean) + (found[0].count > 1 ? "; means over " + std::to_string(found[0].count) + " seeds" : "");
}

std::string figure(const Report& report, const Cell& cell, const Picture& picture) {
  const auto& metric = picture.metric;
  const auto task = metric.find('/'), arm = metric.find('/', task + 1);
  const auto title = cell.name + ": " + metric.substr(0, task) + ", " + metric.substr(task + 1, arm - task - 1);
  return "<figure>" + confusion_chart({.title = title, .label = metric.substr(arm + 1), .confusion = picture.confusion}) +
         "<figcaption class=\"soft\">" + xml_escape(caption(report, cell, metric)) + "</figcaption></figure>\n";
}

}  // namespace

std::string confusion_section(const Report& report) {
  std::vector<std::pair<std::string, std::string>> groups;  // a cell and task, and its pictures
  size_t pictures = 0;
  for (const auto& cell : report.study.cells) {
    for (const auto& [task, own] : pictures_by_task(report, cell)) {
      std::string figures;
      for (const auto& picture : own) figures += figure(report, cell, picture);
      pictures += own.size();
      groups.emplace_back(cell.name + ", " + task, "<div class=\"charts\">" + figures + "</div>");
    }
  }
  if (groups.empty()) return "";
  std::string html =
      "<h2>What is taken for what</h2><p class=\"soft\">Counts of all seeds together. A cell's shade is its share of its "
      "line.</p>\n";
  for (const auto& [name, figures] : groups) {
    html += pictures <= kFewPictures ? figures + "\n"
                                     : "<details><summary>" + xml_escape(name) + "</summary>" + figures + "</details>\n";
  }
  return html;
}

}  // namespace lacuna
