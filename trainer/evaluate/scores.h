// From answers to figures: shares with their 95 % intervals, over all examples and over slices of them.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace lacuna {

struct Interval {
  double low, high;
};
// Wilson's score interval of a share at 95 %; [0, 1] without trials (Wilson 1927).
Interval wilson(double successes, double trials);

// How often something succeeded: an answer, or the tokens of one.
struct Measure {
  std::string name;
  double successes, trials;
};

// What became of one example.
struct Outcome {
  std::vector<Measure> measures;                              // the same names for all examples
  double log_probability = 0;                                 // of the answer
  double chance = 0;                                          // the share that guessing gets
  std::vector<std::pair<std::string, std::string>> slices{};  // {"depth", "50"}
};

// {measure, measure_low, measure_high, ..., "log_probability", "chance", "examples"}; sums over examples before it divides.
nlohmann::ordered_json tabulate(const std::vector<const Outcome*>& outcomes);

// A table by the value of a slice, of tables by the value of the next one, and so on; numbers ascend.
nlohmann::ordered_json tabulate_by(const std::vector<const Outcome*>& outcomes, const std::vector<std::string>& slices);

// tabulate() of all, and under "slices" a table by each slice that they have, and by each of `crossed` under its names joined by
// "_by_".
nlohmann::ordered_json score(const std::vector<Outcome>& outcomes, const std::vector<std::vector<std::string>>& crossed = {});

// A line for people: its numbers and words, without tables.
std::string headline(const nlohmann::ordered_json& line);
// The whole line for people: figures, then a table for each slice.
std::string readable(const nlohmann::ordered_json& line);

}  // namespace lacuna
