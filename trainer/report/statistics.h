// What a handful of seeds says: means with their errors, a paired bootstrap, and the rule by which a claim is judged.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace lacuna {

struct Summary {
  int64_t count = 0;
  double mean = 0;            // NaN of nothing
  double standard_error = 0;  // standard deviation (of a sample: n - 1) over the root of n; NaN of fewer than two
  double low = 0, high = 0;   // smallest and largest
};
Summary summarize(std::span<const double> values);

constexpr int64_t kResamples = 10'000;

// Percentile bootstrap of a mean (Efron & Tibshirani 1993, chapters 13 and 16). The values are one a seed, each already the
// difference or the ratio of two arms under that seed, so that what a seed does to both cancels: the bootstrap is paired.
struct Bootstrap {
  double low = 0, high = 0;  // of the interval that holds 95 % of the resampled means
  double p = 1;              // two-sided: how likely means this far from the threshold were if the truth lay on it
};
// Draws are a function of `seed`. At least one value.
Bootstrap bootstrap_mean(std::span<const double> values, double threshold, uint64_t seed, int64_t resamples = kResamples);

enum class Relation { below, above };  // of the values to the threshold
enum class Verdict { reproduced, not_reproduced, undecided };
constexpr std::array<std::string_view, 3> names_of(Verdict) { return {"reproduced", "not reproduced", "undecided"}; }

constexpr int64_t kFewestSeeds = 3;
constexpr double kSignificance = 0.05;

// Reproduced: the relation holds for every seed, or on average with p < 0.05. Not reproduced: its opposite does. Undecided:
// neither, or fewer than three seeds.
struct Judgement {
  Verdict verdict = Verdict::undecided;
  std::string reason;  // "holds for 3 of 3 seeds, p < 0.001"
  Summary values;
  Bootstrap bootstrap;
};
Judgement judge(std::span<const double> values, Relation relation, double threshold, uint64_t seed);

}  // namespace lacuna
