// Layout changes no curve: data x tensor, sharded optimizers and split streams against one rank, 20 steps with clipping.
#include "tests/support/training.h"

#include <gtest/gtest.h>
#include <mpi.h>

#include "tests/support/network.h"

namespace lacuna {
namespace {

using testing::TrainingSettings;

std::vector<TrainingSettings> networks() {
  auto dropped = testing::gpt2_shape();
  dropped.dropout = 0.1;
  auto llama = testing::llama_shape();
  llama.num_heads = 8;
  llama.num_kv_heads = 4;  // four tensor ranks have one each
  std::vector<TrainingSettings> all(2);
  all[0].decoder = dropped;
  all[1].decoder = llama;
  return all;
}

TEST(Training, NoLayoutChangesTheCurve) {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const auto alone = make_self_mesh();
  for (const auto& network : networks()) {
    const auto expected = testing::train(*alone, at::kCPU, network);
    EXPECT_LT(expected.losses.back(), 0.97 * expected.losses.front()) << "it learns";
    for (int64_t tensor = 1; tensor <= size; tensor *= 2) {
      const auto mesh = make_mpi_mesh(tensor);
      for (const bool shard : {false, true}) {
        for (const bool sequence : {false, true}) {
          if ((shard && mesh->data().size() == 1) || (sequence && tensor == 1)) continue;
          auto settings = network;
          settings.shard_optimizer = shard;
          settings.sequence = sequence;
          settings.micro_batches = std::min<int64_t>(2, 8 / mesh->data().size());
          const auto curve = testing::train(*mesh, at::kCPU, settings);
          EXPECT_LT(testing::distance(curve, expected), 1e-5) << testing::words(*mesh, settings);
        }
      }
    }
  }
}

TEST(Training, AShardedRankHoldsItsShareOfTheState) {
  const auto alone = make_self_mesh(), mesh = make_mpi_mesh(1);
  TrainingSettings settings{.steps = 1, .micro_batches = 1, .decoder = testing::gpt2_shape()};
  const auto whole = testing::train(*mesh, at::kCPU, settings);
  settings.shard_optimizer = true;
  const auto shared = testing::train(*mesh, at::kCPU, settings);
  EXPECT_EQ(shared.state_size * mesh->data().size(), whole.state_size);
  EXPECT_EQ(testing::train(*mesh, at::kCPU, settings).losses, shared.losses) << "it repeats bit for bit";
}

// A share of the stream that is a part of a row.
TEST(Training, SharesOfTheStreamMayCutRows) {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const auto alone = make_self_mesh(), mesh = make_mpi_mesh(size);
  auto settings = networks()[0];
  settings.micro_batches = 8;  // a row each: every rank has a part of it
  settings.steps = 3;
  const auto expected = testing::train(*alone, at::kCPU, settings);
  settings.sequence = true;
  EXPECT_LT(testing::distance(testing::train(*mesh, at::kCPU, settings), expected), 1e-5);
}

}  // namespace
}  // namespace lacuna
