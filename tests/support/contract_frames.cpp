#include "tests/support/contract_frames.h"

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

namespace lacuna::testing {
namespace {

bool holds(const at::Tensor& mask, int64_t row, int64_t place, bool otherwise) {
  return mask.defined() ? mask[row][place].item<bool>() : otherwise;
}

}  // namespace

Sample sample_of_frames(int64_t row, bool whole) {
  const auto random = Random(7, static_cast<uint64_t>(row)).fork("frames");
  Sample sample{.position = 100 + row, .tokens = {}, .document_starts = {0}};
  const int64_t values = (whole ? kGrid.frames : kGrid.frames - 1 - row) * kGrid.bins;
  for (int64_t i = 0; i < values; ++i) {
    sample.frames.push_back(random.normal_block(static_cast<uint64_t>(i / 4))[static_cast<size_t>(i % 4)]);
  }
  return sample;
}

void a_patch_reaches_exactly_the_positions_that_may_see_it(ContractRun& run) {
  const auto batch = run.batch();
  const auto base = run.states(batch);
  for (int64_t k = 0; k < batch.length(); ++k) {
    auto changed = batch;
    changed.values = batch.values.clone();
    changed.values[0][k].add_(1);
    const auto states = run.states(changed);
    const bool hidden = holds(batch.masked, 0, k, false);
    const bool seen = holds(batch.keys, 0, k, true) && (!batch.segments.defined() || batch.segments[0][k].item<int>() != 0);
    for (int64_t q = 0; q < batch.length(); ++q) {
      const bool allowed = !hidden && (seen || q == k), differs = !at::equal(states[0][q], base[0][q]);
      if (run.place.compute == at::kFloat || !allowed || q == k) {
        EXPECT_EQ(differs, allowed) << "patch " << k << ", state " << q;
      }
    }
    for (int64_t row = 1; row < batch.rows(); ++row)
      EXPECT_TRUE(at::equal(states[row], base[row])) << "patch " << k << ", row " << row;
  }
}

void what_is_masked_is_hidden_from_every_state(ContractRun& run) {
  const auto samples = run.samples();
  const auto batch = run.prepare(samples);
  if (!batch.masked.defined()) {
    EXPECT_TRUE(run.objective->num_classes()) << "values are predicted, and nothing is masked";
    return;
  }
  const auto base = run.states(batch);
  int64_t masked = 0;
  for (size_t j = 0; j < samples[0].frames.size(); ++j) {
    auto changed = samples;
    changed[0].frames[j] += 1;
    const auto states = run.states(run.prepare(changed));
    const auto patch = static_cast<int64_t>(j) / kGrid.bins;
    for (int64_t row = 0; row < batch.rows() / kRows; ++row) {
      if (!batch.masked[row][patch].item<bool>()) continue;
      ++masked;
      EXPECT_TRUE(at::equal(states[row], base[row])) << "value " << j << " leaks into row " << row;
    }
  }
  EXPECT_GT(masked, 0);
}

}  // namespace lacuna::testing
