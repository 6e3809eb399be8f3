// Schedules and relative position buckets against the formulas of make_golden.py.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "trainer/model/relative_bias.h"
#include "trainer/optim/schedule.h"

namespace lacuna {
namespace {

nlohmann::json curves() {
  std::ifstream file("tests/golden/curves.json");
  if (!file) throw std::runtime_error("tests/golden/curves.json is missing; run tests from the source root");
  return nlohmann::json::parse(file);
}

TEST(CurvesGolden, Schedules) {
  const auto golden = curves()["schedules"];
  const auto names = names_of(ScheduleKind{});
  ASSERT_EQ(golden["curves"].size(), names.size());
  for (size_t kind = 0; kind < names.size(); ++kind) {
    const ScheduleOptions options{.kind = static_cast<ScheduleKind>(kind),
                                  .warmup_steps = golden["warmup_steps"],
                                  .final_ratio = golden["final_ratio"],
                                  .decay_share = golden["decay_share"]};
    const Schedule schedule(options, golden["steps"]);
    const auto& curve = golden["curves"][std::string(names[kind])];
    for (size_t i = 0; i < curve.size(); ++i) {
      EXPECT_NEAR(schedule.factor(static_cast<int64_t>(i) + 1), curve[i].get<double>(), 1e-12)
          << names[kind] << ", step " << i + 1;
    }
  }
}

TEST(CurvesGolden, RelativeBuckets) {
  const auto golden = curves()["relative_buckets"];
  for (const bool bidirectional : {false, true}) {
    int64_t distance = golden["from"];
    for (const auto& bucket : golden[bidirectional ? "bidirectional" : "causal"]) {
      EXPECT_EQ(relative_bucket(distance, bidirectional), bucket.get<int64_t>()) << distance << ", " << bidirectional;
      ++distance;
    }
    EXPECT_EQ(distance, 201);
  }
}

}  // namespace
}  // namespace lacuna
