#include "launch/study/report.h"

namespace lacuna {
namespace {

std::string cell_text(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : c == '\n' ? " " : std::string(1, c);
  return out;
}

std::string table_text(const ReportTable& table) {
  if (table.rows.empty()) return "";
  std::string text = table.title.empty() ? "" : "### " + table.title + "\n\n";
  std::string rule = "|";
  text += "|";
  for (size_t i = 0; i < table.head.size(); ++i) {
    text += " " + cell_text(table.head[i]) + " |";
    rule += i == 0 ? "---|" : "---:|";
  }
  text += "\n" + rule + "\n";
  for (const auto& row : table.rows) {
    text += "|";
    for (const auto& field : row) text += " " + cell_text(field) + " |";
    text += "\n";
  }
  return text + "\n";
}

}  // namespace

std::string report_markdown(const Report& report) {
  auto text = "# " + report.study.options.title + "\n\n";
  if (!report.claims.empty()) text += "## Claims\n\n" + rule_text() + "\n\n";
  for (size_t i = 0; i < report.claims.size(); ++i) {
    const auto& claim = report.study.claims[i];
    const auto& result = report.claims[i];
    text += std::to_string(i + 1) + ". " + claim.options.text + ": **" + std::string(name_of(result.judgement.verdict)) + "**  \n   `" +
            check_text(claim) + "`  \n   " + finding_text(claim, result) + "\n";
    const auto match = match_text(result);
    if (!match.empty()) text += "   - " + match + "\n";
    text += "\n" + table_text(seed_table(claim, result));
  }
  text += "## Cells\n\n" + table_text(cost_table(report));
  for (const auto& table : metric_tables(report)) text += table_text(table);
  text += table_text(missing_table(report)) + "## Origin\n\n";
  for (const auto& [name, value] : report.origin) text += "- " + name + ": " + (value.empty() ? "-" : value) + "\n";
  return text;
}

}  // namespace lacuna
