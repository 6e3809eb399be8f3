// A claim held against the runs of its study. Nothing here is written by hand: the verdict follows from the numbers by the rule in
// trainer/report/statistics.h.
#pragma once
#include <string>
#include <vector>

#include "launch/study/results.h"

namespace lacuna {

// How a and b compare in something that a fair comparison holds equal.
struct Match {
  std::string what;  // tokens, loss_tokens, flops, parameters
  double a = 0, b = 0;
  bool matched = false;
};

struct ClaimResult {
  std::vector<int64_t> seeds;         // that have both arms
  std::vector<double> a, b, compared;  // by seed; compared is a, a - b or a / b
  Judgement judgement;
  std::vector<Match> matches;
  std::string note;  // what a reader must know besides, such as that a never reached the target
};

// `tolerance`: relative difference up to which arms are matched.
ClaimResult evaluate_claim(const Claim& claim, const std::vector<RunRecord>& records, double tolerance);

}  // namespace lacuna
