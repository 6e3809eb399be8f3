#include <algorithm>
#include <cmath>
#include <set>

#include "launch/study/report.h"
#include "trainer/report/chart.h"

namespace lacuna {
namespace {

constexpr size_t kPointsOfALine = 120;

// Colours: eight hues that differ in lightness too, one set for each background.
constexpr const char* kStyle = R"css(
:root { color-scheme: light dark; --back: #fff; --text: #1c2024; --soft: #5f6b76; --rule: #d9dee3; --card: #f6f8fa;
  --yes: #1a7f4b; --no: #c0362c; --open: #8a6d00;
  --c0: #0b6bcb; --c1: #d1480b; --c2: #16836a; --c3: #a3329a; --c4: #9a7400; --c5: #4f5bd5; --c6: #b3134f; --c7: #5b6770; }
@media (prefers-color-scheme: dark) { :root { --back: #15181c; --text: #e6e9ec; --soft: #9aa5b0; --rule: #343b43; --card: #1e2329;
  --yes: #4cc38a; --no: #ff7b6e; --open: #e0b93a;
  --c0: #5aa9f8; --c1: #ff8f57; --c2: #42c9a3; --c3: #e07fd6; --c4: #dfb93b; --c5: #98a1ff; --c6: #ff6f9f; --c7: #a9b4bf; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1100px; padding: 16px; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 8px 0; } h2 { font-size: 1.15rem; margin: 32px 0 8px; }
p, li { max-width: 75ch; } .soft { color: var(--soft); font-size: .875rem; }
.claim { background: var(--card); border: 1px solid var(--rule); border-left: 5px solid var(--open); border-radius: 6px;
  padding: 10px 14px; margin: 12px 0; } .claim p { margin: 4px 0; }
.claim.yes { border-left-color: var(--yes); } .claim.no { border-left-color: var(--no); }
.verdict { font-weight: 700; color: var(--open); } .yes .verdict { color: var(--yes); } .no .verdict { color: var(--no); }
code { font: .85em ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; } .unmatched { color: var(--no); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; margin: 8px 0; }
caption { text-align: left; font-weight: 600; padding: 6px 0; }
th, td { padding: 3px 10px; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 600; }
table.words td { white-space: normal; text-align: left; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr)); gap: 16px; } figure { margin: 0; }
svg { width: 100%; height: auto; display: block; color: var(--text); } svg text { fill: currentColor; font: 11.5px system-ui, sans-serif; }
svg .title { font-weight: 600; font-size: 13px; } svg .grid { stroke: var(--rule); stroke-width: 1; } svg .axis { stroke: var(--soft); }
svg .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; } svg .band { opacity: .16; stroke: none !important; }
svg .seed { fill: none !important; stroke-width: 1.4; } svg .error { stroke-width: 2.4; } .dashes { stroke-dasharray: 6 3; } .dots { stroke-dasharray: 2 3; }
svg .cell { fill: var(--c0); } svg .on { fill: var(--back); } summary { cursor: pointer; padding: 4px 0; }
figcaption { text-align: center; }
svg circle, svg .error { stroke-dasharray: none !important; } svg .dot { stroke: none !important; }
.legend { list-style: none; padding: 0; margin: 4px 0 12px; display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: .875rem; }
.legend svg { display: inline-block; width: 26px; height: 10px; margin-right: 6px; vertical-align: middle; }
)css";

std::string colours() {
  std::string css;
  for (int i = 0; i < 8; ++i) {
    const auto n = std::to_string(i);
    css += "svg .c" + n + " { stroke: var(--c" + n + "); } svg .band.c" + n + ", svg .dot.c" + n + " { fill: var(--c" + n + "); }\n";
  }
  return css;
}

std::string html_table(const ReportTable& table, const std::string& style = "") {
  if (table.rows.empty()) return "";
  std::string html = "<div class=\"wide\"><table" + (style.empty() ? "" : " class=\"" + style + "\"") + ">";
  if (!table.title.empty()) html += "<caption>" + xml_escape(table.title) + "</caption>";
  html += "<thead><tr>";
  for (const auto& field : table.head) html += "<th>" + xml_escape(field) + "</th>";
  html += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (const auto& field : row) html += "<td>" + xml_escape(field) + "</td>";
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string claim_card(const Claim& claim, const ClaimResult& result) {
  const auto verdict = result.judgement.verdict;
  const std::string style = verdict == Verdict::reproduced ? " yes" : verdict == Verdict::not_reproduced ? " no" : "";
  std::string html = "<section class=\"claim" + style + "\"><p><span class=\"verdict\">" + std::string(name_of(verdict)) + "</span> · " +
                     xml_escape(claim.options.text) + "</p><p><code>" + xml_escape(check_text(claim)) + "</code></p><p>" +
                     xml_escape(finding_text(claim, result)) + "</p>";
  const bool unmatched = std::any_of(result.matches.begin(), result.matches.end(), [](const Match& m) { return !m.matched; });
  const auto match = match_text(result);
  if (!match.empty()) html += std::string("<p class=\"soft") + (unmatched ? " unmatched" : "") + "\">" + xml_escape(match) + "</p>";
  return html + html_table(seed_table(claim, result)) + "</section>\n";
}

// The runs of a cell as one line: mean, smallest and largest over the seeds at each step that all of them have; neighbouring steps
// are averaged where there are many.
ChartLine line_of(const Report& report, const Cell& cell, const std::string& curve, bool flops) {
  std::map<int64_t, std::vector<double>> by_step;
  size_t runs = 0;
  double per_step = 0;
  for (const auto& record : report.records) {
    const auto found = record.curves.find(curve);
    if (record.cell != cell.name || record.state != "done" || found == record.curves.end()) continue;
    ++runs;
    per_step = flops ? record.flops_per_step : record.text_tokens_per_step;
    for (const auto& point : found->second) by_step[point.step].push_back(point.value);
  }
  std::erase_if(by_step, [&](const auto& entry) { return entry.second.size() != runs; });
  ChartLine line{.name = cell.name, .points = {}};
  const size_t together = std::max<size_t>(1, by_step.size() / kPointsOfALine);
  for (auto at = by_step.begin(); at != by_step.end();) {
    std::vector<double> sums(runs, 0.0);
    double steps = 0, count = 0;
    for (size_t i = 0; i < together && at != by_step.end(); ++i, ++at, ++count) {
      steps += static_cast<double>(at->first);
      for (size_t run = 0; run < runs; ++run) sums[run] += at->second[run];
    }
    for (auto& sum : sums) sum /= count;
    const auto summary = summarize(sums);
    line.points.push_back({steps / count * per_step, summary.mean, summary.low, summary.high});
  }
  return line;
}

std::string legend(const std::vector<ChartLine>& lines) {
  std::string html = "<ul class=\"legend\">";
  for (size_t i = 0; i < lines.size(); ++i) {
    html += "<li><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\"><line class=\"line " + chart_class(i) +
            "\" x1=\"0\" y1=\"5\" x2=\"26\" y2=\"5\"/></svg>" + xml_escape(lines[i].name) + "</li>";
  }
  return html + "</ul>\n";
}

// A metric's name with its unit, where its name tells.
std::string with_unit(const std::string& name) {
  const auto last = name.substr(name.rfind('/') + 1);
  if (last.starts_with("loss") && last != "loss_tokens") return name + ", nats a target";
  if (last == "bits_per_byte") return name + ", bits";
  if (last == "flops") return "FLOPs";
  return last.ends_with("seconds") ? name + ", s" : name;
}

std::string curves(const Report& report) {
  std::string html;
  for (const auto& curve : report.study.options.curves) {
    std::string figures;
    std::vector<ChartLine> lines;
    for (const bool flops : {false, true}) {
      lines.clear();
      for (const auto& cell : report.study.cells) lines.push_back(line_of(report, cell, curve, flops));
      if (std::all_of(lines.begin(), lines.end(), [](const ChartLine& l) { return l.points.empty(); })) break;
      figures += "<figure>" +
                 line_chart({.title = curve, .x_label = flops ? "FLOPs of this training" : "tokens of text", .y_label = with_unit(curve), .lines = lines}) +
                 "</figure>\n";
    }
    if (!figures.empty()) html += "<div class=\"charts\">" + figures + "</div>" + legend(lines);
  }
  if (html.empty()) return "";
  return "<h2>Curves</h2><p class=\"soft\">Mean over seeds; the band goes from the smallest to the largest. A cell that starts from "
         "another one begins at 0 here; what came before is in the table.</p>" + html;
}

// One chart for every metric that a claim speaks of.
std::string dots(const Report& report) {
  std::set<std::string> metrics;
  std::string figures;
  for (const auto& claim : report.study.claims) {
    if (!metrics.insert(claim.options.metric).second) continue;
    DotChart chart{.title = claim.options.metric, .x_label = with_unit(claim.options.metric), .rows = {}};
    bool any = false;
    for (const auto& cell : report.study.cells) {
      chart.rows.push_back({cell.name, values_of(report.records, cell.name, claim.options.metric)});
      any = any || !chart.rows.back().values.empty();
    }
    if (any) figures += "<figure>" + dot_chart(chart) + "</figure>\n";
  }
  if (figures.empty()) return "";
  return "<h2>What the claims speak of</h2><p class=\"soft\">A circle a seed; the bar is mean ± standard error.</p><div class=\"charts\">" +
         figures + "</div>\n";
}

}  // namespace

std::string report_html(const Report& report) {
  const auto title = xml_escape(report.study.options.title);
  std::string html = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, "
                     "initial-scale=1\"><title>" + title + "</title><style>" + kStyle + colours() + "</style></head><body>\n<h1>" + title +
                     "</h1>\n";
  if (!report.claims.empty()) html += "<h2>Claims</h2>\n";
  for (size_t i = 0; i < report.claims.size(); ++i) html += claim_card(report.study.claims[i], report.claims[i]);
  if (!report.claims.empty()) html += "<p class=\"soft\">" + xml_escape(rule_text()) + "</p>\n";
  html += dots(report) + confusion_section(report) + curves(report) + "<h2>Cells</h2>\n" + html_table(cost_table(report));
  for (const auto& table : metric_tables(report)) html += html_table(table);
  html += html_table(missing_table(report), "words");
  ReportTable origin{.title = "", .head = {"origin", ""}, .rows = {}};
  for (const auto& [name, value] : report.origin) origin.rows.push_back({name, value.empty() ? "-" : value});
  return html + "<h2>Origin</h2>\n" + html_table(origin, "words") + "</body></html>\n";
}

}  // namespace lacuna
