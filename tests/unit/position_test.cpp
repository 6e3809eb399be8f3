#include "objectives/position.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/rows.h"

namespace lacuna {
namespace {

using namespace testing;

constexpr int64_t kLength = 40;

RowContext context() { return {.length = kLength, .tokenizer_size = 100, .end_token = 99}; }

TEST(Position, AFixedShareHasNoPositionAndIsAskedForIt) {
  const auto batch = Position({}, context()).prepare(counting_samples(300, kLength, 90), Random(1, 1));
  std::vector<int> withheld(kLength);
  for (int64_t row = 0; row < batch.rows(); ++row) {
    const auto positions = row_of<int32_t>(batch.positions, row), targets = row_of<int32_t>(batch.targets, row);
    const auto weights = row_of<float>(batch.weights, row);
    int64_t count = 0;
    for (size_t t = 0; t < positions.size(); ++t) {
      EXPECT_EQ(targets[t], static_cast<int32_t>(t));
      EXPECT_EQ(positions[t], weights[t] > 0 ? kLength : static_cast<int32_t>(t));
      count += weights[t] > 0;
      withheld[t] += weights[t] > 0;
    }
    EXPECT_EQ(count, 30);
  }
  for (const int hits : withheld) EXPECT_NEAR(hits, 225, 5 * std::sqrt(300 * 0.75 * 0.25));
  EXPECT_EQ(batch.weights.gather(1, batch.predicted.to(at::kLong)).sum().item<double>(), batch.target_count);
}

TEST(Position, FormsThatCannotTellAPlaceAreRefused) {
  expect_error(ExitCode::usage, "does not tell where", [] { Position({.withheld = 1}, context()); });
  auto documents = context();
  documents.document_mask = true;
  expect_error(ExitCode::usage, "documents' bounds", [&] { Position({}, documents); });
}

}  // namespace
}  // namespace lacuna
