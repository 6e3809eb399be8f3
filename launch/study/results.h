// What the runs of a study came to, read from their folders.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "launch/study/plan.h"
#include "launch/study/run_study.h"
#include "trainer/report/confusion_chart.h"

namespace lacuna {

struct CurvePoint {
  int64_t step = 0;
  double value = 0;
};
using Curve = std::vector<CurvePoint>;

struct RunRecord {
  std::string cell;
  int64_t seed = 0;
  std::string state;   // done, failed, unfinished
  std::string reason;  // of a failure
  double text_tokens_per_step = 0, flops_per_step = 0;
  std::string device, host, commit;
  // steps, tokens (of the corpus, that the rows were made of), loss_tokens (targets with weight), flops and wall_seconds of this
  // run's own training; tokens_before and flops_before of the runs that it goes on from; parameters; train/NAME, the mean over the
  // last twentieth of the steps; TASK/NAME of every evaluation after training.
  std::map<std::string, double> numbers;
  std::set<std::string> figures;         // of the numbers those with a slash that are no slice's
  std::map<std::string, Confusion> confusions{};  // TASK/ARM/LABEL of the evaluations after training that have one
  std::map<std::string, Curve> curves;  // train/NAME of every step, TASK/NAME of every evaluation during training

  std::optional<double> number(const std::string& name) const;
};

// One record a planned run, in the plan's order; runs without a folder count as unfinished.
std::vector<RunRecord> read_records(const std::vector<PlannedRun>& runs, const std::vector<Failure>& failures);

// One line a run: cell, an axis each, from, seed, state, then every number that any of them has.
std::string cells_csv(const Study& study, const std::vector<RunRecord>& records);

// Of the cell's done runs, in the order of their seeds; those that lack it are left out.
std::vector<double> values_of(const std::vector<RunRecord>& records, const std::string& cell, const std::string& number);

}  // namespace lacuna
