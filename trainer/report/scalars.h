// The numbers of an evaluation's line under names that tell them apart, for charts and tables.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace lacuna {

using Scalars = std::vector<std::pair<std::string, double>>;

// {"task": "needle", "accuracy": 0.9, "slices": {"depth": {"50": {"accuracy": 0.8}}}} -> {{"needle/accuracy", 0.9}}, and with
// `slices` also {"needle/depth/50/accuracy", 0.8}. Words and whole numbers before the first figure tell lines of a task apart:
// {"task": "thinking", "of": "validation", "steps": 4, "loss": 2.5} is "thinking/validation/steps=4/loss". Numbers and truth values
// count; `step` and lists do not.
Scalars scalars_of(const nlohmann::ordered_json& line, bool slices = false);

}  // namespace lacuna
