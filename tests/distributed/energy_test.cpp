// Descents with the network split over the tensor axis, to the second derivative, and replays split over the data axis, against one
// rank alone.
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include "tests/support/energy_network.h"
#include "trainer/model/flat_storage.h"
#include "trainer/training_state.h"

namespace lacuna {
namespace {

using testing::energy_batch;
using testing::EnergySize;
using testing::make_energy_network;
using testing::relative_error;
using testing::rows_of;
using testing::slice_of;

const EnergySize kSize{.vocabulary_size = 61,
                       .length = 6,
                       .rows_per_step = 8,
                       .decoder = {.num_layers = 2, .hidden_size = 16, .num_heads = 4, .feed_forward_size = 8}};

int world_size() {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

struct Regime {
  const char* name;
  EnergyOptions options;
};
const Regime kRegimes[] = {
    {"s1", {.alpha = 3}},
    {"s2", {.steps = 3, .steps_min = 2, .landscapes = 1, .alpha = 3, .alpha_spread = 2, .detach = false, .langevin = 1}},
    {"through all steps", {.alpha = 3, .detach = false, .truncate = false}}};

TEST(EnergyLayout, OverTheTensorAxisLossMetricsAndGradientsAreThoseOfTheWhole) {
  const auto whole = make_self_mesh(), split = make_mpi_mesh(world_size());
  for (const auto& regime : kRegimes) {
    // In double precision: second derivatives amplify rounding.
    const auto full = make_energy_network(regime.options, *whole, kSize, at::kDouble),
               part = make_energy_network(regime.options, *split, kSize, at::kDouble);
    const auto batch = energy_batch(*full->objective, kSize);
    const double expected = full->backward(batch);
    EXPECT_NEAR(part->backward(batch), expected, 1e-9 * expected) << regime.name;
    for (size_t i = 0; i < full->parameters.size(); ++i) {
      const auto& p = full->parameters[i];
      const auto gradient = slice_of(p.value.grad(), p, split->tensor().rank(), split->tensor().size());
      EXPECT_LT(relative_error(part->parameters[i].value.grad(), gradient), 1e-7) << regime.name << " " << p.name;
    }
    full->decoder->eval();
    part->decoder->eval();
    const Effort effort{.steps = 3, .samples = 2};
    EXPECT_LT(relative_error(part->objective->logits(*part->decoder, batch, effort), full->objective->logits(*full->decoder, batch, effort)),
              1e-7)
        << regime.name;
  }
}

TEST(EnergyLayout, ReplaysBelongToPlacesWhateverTheDataRanks) {
  const auto whole = make_self_mesh(), split = make_mpi_mesh(1);
  const EnergyOptions options{.alpha = 3, .replay_rows = 8};
  const auto full = make_energy_network(options, *whole, kSize), part = make_energy_network(options, *split, kSize);
  auto& data = split->data();
  const int64_t share = kSize.rows_per_step / data.size();
  for (int64_t step = 0; step < 4; ++step) {
    const auto batch = energy_batch(*full->objective, kSize, step);
    const double expected = full->loss(batch);
    auto sum = at::zeros({1}, at::kDouble).fill_(part->loss(rows_of(batch, share * data.rank(), share)));
    data.all_reduce(sum, Reduce::sum);
    EXPECT_NEAR(sum.item<double>(), expected, 1e-5 * expected) << "step " << step;
  }
  const auto all = objective_slices(*full->objective, *whole), mine = objective_slices(*part->objective, *split);
  ASSERT_EQ(mine.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(mine[i].full_shape, all[i].full_shape) << all[i].name;
    const int64_t count = all[i].value.size(0) / data.size();
    EXPECT_LT(relative_error(mine[i].value, all[i].value.narrow(0, count * data.rank(), count)), 1e-5) << all[i].name;
  }
}

}  // namespace
}  // namespace lacuna
