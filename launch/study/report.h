// The report of a study, as Markdown and as one page of HTML that needs nothing else. Both show the same tables and the same
// computed verdicts; the page adds charts.
#pragma once
#include <string>
#include <vector>

#include "launch/study/claim_result.h"

namespace lacuna {

struct Report {
  const Study& study;
  const std::vector<RunRecord>& records;
  std::vector<ClaimResult> claims;  // of study.claims, in their order
  std::vector<std::pair<std::string, std::string>> origin;  // command, commit, date, machine
};

// Evaluates the claims and asks this machine for the origin. `command`: as the user gave it.
Report make_report(const Study& study, const std::vector<RunRecord>& records, const std::string& command);

std::string report_markdown(const Report& report);
std::string report_html(const Report& report);
// Of the page: the confusion matrices of every cell, task and arm, counts of all seeds together; folded where they are many. Empty
// where no evaluation has any.
std::string confusion_section(const Report& report);

struct ReportTable {
  std::string title;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
};
// What each cell cost: runs, tokens, loss tokens, FLOPs, parameters, wall time.
ReportTable cost_table(const Report& report);
// A table a task: cells by metrics, mean +- standard error over seeds. Slices stay in cells.csv.
std::vector<ReportTable> metric_tables(const Report& report);
// Of one claim: both arms and their comparison by seed.
ReportTable seed_table(const Claim& claim, const ClaimResult& result);
// Runs that failed or are not done.
ReportTable missing_table(const Report& report);

// "a / b < 1.015 of loss/loss, a = meap, b = next_token"
std::string check_text(const Claim& claim);
// "a / b = 1.003 +- 0.002, 95 % interval 0.998 to 1.009; holds for 3 of 3 seeds, p < 0.001"
std::string finding_text(const Claim& claim, const ClaimResult& result);
// "tokens, parameters matched; FLOPs NOT matched: 1.2G and 2.4G (0.50x)"; empty where nothing is compared.
std::string match_text(const ClaimResult& result);
// The rule behind the verdicts, in words.
std::string rule_text();

std::string value_text(double value);  // four significant digits; large ones as 1.2M
std::string summary_text(const Summary& summary);

}  // namespace lacuna
