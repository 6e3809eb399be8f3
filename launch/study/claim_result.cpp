#include "launch/study/claim_result.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <set>

namespace lacuna {
namespace {

constexpr uint64_t kBootstrapSeed = 1;

class Records {
 public:
  explicit Records(const std::vector<RunRecord>& records) : records_(records) {}

  const RunRecord* done(const std::string& cell, int64_t seed) const {
    for (const auto& record : records_) {
      if (record.cell == cell && record.seed == seed && record.state == "done") return &record;
    }
    return nullptr;
  }
  std::set<int64_t> seeds() const {
    std::set<int64_t> seeds;
    for (const auto& record : records_) seeds.insert(record.seed);
    return seeds;
  }
  // By cell; nothing where one of them lacks it.
  std::optional<std::vector<double>> numbers(const std::vector<std::string>& cells, int64_t seed, const std::string& name) const {
    std::vector<double> values;
    for (const auto& cell : cells) {
      const auto* record = done(cell, seed);
      const auto value = record == nullptr ? std::nullopt : record->number(name);
      if (!value) return std::nullopt;
      values.push_back(*value);
    }
    return values;
  }

 private:
  const std::vector<RunRecord>& records_;
};

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// s of value = c * tokens^-s by least squares of the logarithms.
double exponent(const std::vector<double>& tokens, const std::vector<double>& values) {
  std::vector<double> x, y;
  for (const double t : tokens) x.push_back(std::log(t));
  for (const double v : values) y.push_back(std::log(v));
  const double middle = mean(x), level = mean(y);
  double covariance = 0, variance = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    covariance += (x[i] - middle) * (y[i] - level);
    variance += (x[i] - middle) * (x[i] - middle);
  }
  return -covariance / variance;
}

// Tokens at which the curve first comes down to `target`, between two points in proportion; nothing where it never does.
std::optional<double> tokens_to(const RunRecord& record, const std::string& metric, double target) {
  const auto curve = record.curves.find(metric);
  if (curve == record.curves.end()) return std::nullopt;
  const CurvePoint* before = nullptr;
  for (const auto& point : curve->second) {
    if (point.value <= target) {
      const double share = before == nullptr || before->value == point.value ? 1.0 : (before->value - target) / (before->value - point.value);
      const double from = before == nullptr ? static_cast<double>(point.step) : static_cast<double>(before->step);
      return (from + share * (static_cast<double>(point.step) - from)) * record.text_tokens_per_step;
    }
    before = &point;
  }
  return std::nullopt;
}

struct Pair {
  double a = 0, b = 0;
};

std::optional<Pair> race(const Claim& claim, const Records& records, int64_t seed, std::string& note) {
  const auto *a = records.done(claim.a.front(), seed), *b = records.done(claim.b.front(), seed);
  if (a == nullptr || b == nullptr) return std::nullopt;
  const auto curve = b->curves.find(claim.metric_of_b());
  if (curve == b->curves.end()) return std::nullopt;
  const double target = curve->second.back().value;
  const auto tokens_b = tokens_to(*b, claim.metric_of_b(), target), tokens_a = tokens_to(*a, claim.options.metric, target);
  if (tokens_a) return Pair{*tokens_a, *tokens_b};
  // All that a had was not enough, so what it needs is more: that fails a check of "below" where it is above the threshold already.
  const double least = *a->number("tokens");
  note += (note.empty() ? "" : "; ") + ("under seed " + std::to_string(seed) + " a never came down to b's last value");
  const bool tells = claim.check.operation == Operation::ratio && claim.check.relation == Relation::below &&
                     least / *tokens_b >= claim.check.threshold;
  return tells ? std::optional(Pair{least, *tokens_b}) : std::nullopt;
}

std::optional<double> arm_value(const Claim& claim, const std::vector<std::string>& cells, const std::string& metric,
                                const Records& records, int64_t seed) {
  const auto values = records.numbers(cells, seed, metric);
  if (!values) return std::nullopt;
  if (claim.options.quantity != Quantity::exponent) return mean(*values);
  const auto tokens = records.numbers(cells, seed, "tokens");
  return exponent(*tokens, *values);
}

std::optional<Pair> pair_of(const Claim& claim, const Records& records, int64_t seed, std::string& note) {
  if (claim.options.quantity == Quantity::tokens_to_target) return race(claim, records, seed, note);
  const auto a = arm_value(claim, claim.a, claim.options.metric, records, seed);
  const auto b = claim.b.empty() ? std::optional(0.0) : arm_value(claim, claim.b, claim.metric_of_b(), records, seed);
  return a && b ? std::optional(Pair{*a, *b}) : std::nullopt;
}

// A tie is a tie: averages of equal shares may differ in their last bit, and that is no sign.
double compare(const Pair& pair, Operation operation) {
  const bool tie = std::abs(pair.a - pair.b) <= 1e-12 * std::max(std::abs(pair.a), std::abs(pair.b));
  if (operation == Operation::ratio) return tie ? 1 : pair.a / pair.b;
  if (operation == Operation::alone) return pair.a;
  return tie ? 0 : pair.a - pair.b;
}

// Over the seeds that are compared.
std::vector<Match> matches(const Claim& claim, const Records& records, const std::vector<int64_t>& seeds, double tolerance) {
  std::vector<Match> all;
  const auto over = [&](const std::vector<std::string>& cells, const std::string& what) {
    std::vector<double> values;
    for (const auto seed : seeds) {
      const auto more = records.numbers(cells, seed, what);
      if (more) values.insert(values.end(), more->begin(), more->end());
    }
    return values.empty() ? std::nan("") : mean(values);
  };
  for (const std::string what : {"tokens", "loss_tokens", "flops", "parameters"}) {
    const double a = over(claim.a, what), b = over(claim.b, what);
    if (std::isnan(a) || std::isnan(b)) continue;
    all.push_back({what, a, b, std::abs(a - b) <= tolerance * std::max(a, b)});
  }
  return all;
}

// Whether the metric is a share of right answers, and the interval of each arm's holds what guessing has, under every seed.
bool at_chance(const Claim& claim, const Records& records, const std::vector<int64_t>& seeds) {
  const auto guesses = [&](const std::vector<std::string>& cells, const std::string& metric, int64_t seed) {
    const auto low = records.numbers(cells, seed, metric + "_low");
    const auto chance = records.numbers(cells, seed, metric.substr(0, metric.rfind('/') + 1) + "chance");
    if (!low || !chance) return false;
    for (size_t i = 0; i < low->size(); ++i) {
      if ((*low)[i] > (*chance)[i]) return false;
    }
    return true;
  };
  return !seeds.empty() && std::all_of(seeds.begin(), seeds.end(), [&](int64_t seed) {
    return guesses(claim.a, claim.options.metric, seed) && (claim.b.empty() || guesses(claim.b, claim.metric_of_b(), seed));
  });
}

}  // namespace

ClaimResult evaluate_claim(const Claim& claim, const std::vector<RunRecord>& all, double tolerance) {
  const Records records(all);
  ClaimResult result;
  for (const auto seed : records.seeds()) {
    const auto pair = pair_of(claim, records, seed, result.note);
    if (!pair) continue;
    const double compared = compare(*pair, claim.check.operation);
    if (!std::isfinite(compared)) {
      result.note += (result.note.empty() ? "" : "; ") + ("seed " + std::to_string(seed) + " is left out: a / b is not finite");
      continue;
    }
    result.seeds.push_back(seed);
    result.a.push_back(pair->a);
    if (!claim.b.empty()) result.b.push_back(pair->b);
    result.compared.push_back(compared);
  }
  result.judgement = judge(result.compared, claim.check.relation, claim.check.threshold, kBootstrapSeed);
  if (at_chance(claim, records, result.seeds)) {
    result.judgement.verdict = Verdict::undecided;
    result.judgement.reason = "no arm answers better than chance, so there is nothing to compare";
  }
  if (!claim.b.empty()) result.matches = matches(claim, records, result.seeds, tolerance);
  return result;
}

}  // namespace lacuna
