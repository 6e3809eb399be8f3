// Every collective against the same thing computed on the spot: rank r's input is a function of r, so each rank knows them all.
#include "trainer/parallel/communicator.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "trainer/parallel/mesh.h"
#include "trainer/parallel/mpi_communicator.h"

namespace lacuna {
namespace {

at::Tensor values_of(int rank, int64_t count, at::ScalarType type = at::kFloat) {
  return (at::arange(count, at::kLong) % 7 + 10 * rank).to(type);
}

at::Tensor sum_of_all(int size, int64_t count, at::ScalarType type = at::kFloat) {
  at::Tensor sum = values_of(0, count, type);
  for (int rank = 1; rank < size; ++rank) sum += values_of(rank, count, type);
  return sum;
}

// The world, once as it is and once so narrow that every message is cut into parts.
std::vector<std::unique_ptr<Communicator>> worlds() {
  std::vector<std::unique_ptr<Communicator>> result;
  for (const int64_t max_count : {int64_t{INT_MAX}, int64_t{13}}) {
    MPI_Comm comm;
    MPI_Comm_dup(MPI_COMM_WORLD, &comm);
    result.push_back(std::make_unique<MpiCommunicator>(comm, "world", nullptr, max_count));
  }
  return result;
}

template <class Action>
std::string message_of(const Action& action) {
  return testing::error_message(ExitCode::communication, action);
}

TEST(Communicator, AllReduceSumsEveryType) {
  for (const auto& world : worlds()) {
    for (const auto type : {at::kFloat, at::kDouble, at::kInt, at::kLong, at::kByte}) {
      at::Tensor values = values_of(world->rank(), 101, type);
      world->all_reduce(values, Reduce::sum);
      EXPECT_TRUE(at::equal(values, sum_of_all(world->size(), 101, type))) << c10::toString(type);
    }
  }
}

TEST(Communicator, AllReduceMinAndMax) {
  for (const auto& world : worlds()) {
    at::Tensor low = values_of(world->rank(), 20), high = values_of(world->rank(), 20);
    world->all_reduce(low, Reduce::min);
    world->all_reduce(high, Reduce::max);
    EXPECT_TRUE(at::equal(low, values_of(0, 20)));
    EXPECT_TRUE(at::equal(high, values_of(world->size() - 1, 20)));
    at::Tensor any = at::full({3}, world->rank() == 1, at::kBool), all = any.clone();
    world->all_reduce(any, Reduce::max);
    world->all_reduce(all, Reduce::min);
    EXPECT_TRUE(any.all().item<bool>());
    EXPECT_FALSE(all.any().item<bool>());
  }
}

TEST(Communicator, StartedWorkFinishesInAnyWay) {
  for (const auto& world : worlds()) {
    at::Tensor waited = values_of(world->rank(), 500), tested = waited.clone(), dropped = waited.clone();
    auto first = world->start_all_reduce(waited, Reduce::sum);
    auto second = world->start_all_reduce(tested, Reduce::sum);
    auto third = world->start_all_reduce(dropped, Reduce::sum);
    while (!second->test()) {
    }
    EXPECT_TRUE(second->test());  // again, after it is done
    first->wait();
    first->wait();
    third.reset();
    const at::Tensor expected = sum_of_all(world->size(), 500);
    EXPECT_TRUE(at::equal(waited, expected));
    EXPECT_TRUE(at::equal(tested, expected));
    EXPECT_TRUE(at::equal(dropped, expected));
  }
}

TEST(Communicator, AllGatherIsInRankOrderAndMovesAnyType) {
  for (const auto& world : worlds()) {
    for (const auto type : {at::kFloat, at::kBFloat16, at::kBool}) {
      const at::Tensor input = values_of(world->rank(), 37, type);
      at::Tensor output = at::empty({world->size(), 37}, type), in_place = at::empty({world->size(), 37}, type);
      world->all_gather(output, input);
      in_place[world->rank()].copy_(input);
      world->all_gather(in_place, in_place[world->rank()]);
      for (int rank = 0; rank < world->size(); ++rank) {
        EXPECT_TRUE(at::equal(output[rank], values_of(rank, 37, type)));
        EXPECT_TRUE(at::equal(in_place[rank], values_of(rank, 37, type)));
      }
    }
  }
}

TEST(Communicator, ReduceScatterGivesEachRankItsPartOfTheSum) {
  for (const auto& world : worlds()) {
    const int64_t part = 29;
    at::Tensor output = at::empty({part});
    world->reduce_scatter(output, values_of(world->rank(), part * world->size()));
    EXPECT_TRUE(at::equal(output, sum_of_all(world->size(), part * world->size()).narrow(0, world->rank() * part, part)));
  }
}

TEST(Communicator, StartedGathersAndScattersAreThePlainOnes) {
  for (const auto& world : worlds()) {
    const int64_t part = 29;
    const at::Tensor input = values_of(world->rank(), part, at::kBFloat16), all = values_of(world->rank(), part * world->size());
    at::Tensor gathered = at::empty({world->size(), part}, at::kBFloat16), in_place = at::empty_like(gathered);
    at::Tensor sum = at::empty({part}), sums = all.clone();
    in_place[world->rank()].copy_(input);
    at::Tensor mine = sums.narrow(0, world->rank() * part, part);
    auto gather = world->start_all_gather(gathered, input);
    auto scatter = world->start_reduce_scatter(sum, all);
    auto gather_in_place = world->start_all_gather(in_place, in_place[world->rank()]);
    auto scatter_in_place = world->start_reduce_scatter(mine, sums);
    while (!scatter_in_place->test()) {
    }
    scatter->wait();
    gather->wait();
    gather_in_place.reset();  // waits
    for (int rank = 0; rank < world->size(); ++rank) {
      EXPECT_TRUE(at::equal(gathered[rank], values_of(rank, part, at::kBFloat16)));
      EXPECT_TRUE(at::equal(in_place[rank], values_of(rank, part, at::kBFloat16)));
    }
    const at::Tensor expected = sum_of_all(world->size(), part * world->size()).narrow(0, world->rank() * part, part);
    EXPECT_TRUE(at::equal(sum, expected));
    EXPECT_TRUE(at::equal(mine, expected));
  }
}

TEST(Communicator, ReduceScatterMayWriteIntoItsInput) {
  for (const auto& world : worlds()) {
    const int64_t part = 29;
    at::Tensor values = values_of(world->rank(), part * world->size());
    at::Tensor mine = values.narrow(0, world->rank() * part, part);
    world->reduce_scatter(mine, values);
    EXPECT_TRUE(at::equal(mine, sum_of_all(world->size(), part * world->size()).narrow(0, world->rank() * part, part)));
  }
}

TEST(Communicator, BroadcastFromEveryRoot) {
  for (const auto& world : worlds()) {
    for (int root = 0; root < world->size(); ++root) {
      at::Tensor values = values_of(world->rank(), 33, at::kBFloat16);
      world->broadcast(values, root);
      EXPECT_TRUE(at::equal(values, values_of(root, 33, at::kBFloat16)));
    }
    world->barrier();
  }
}

TEST(Communicator, EmptyTensorsPass) {
  for (const auto& world : worlds()) {
    at::Tensor none = at::empty({0}), gathered = at::empty({0});
    world->all_reduce(none, Reduce::sum);
    world->start_all_reduce(none, Reduce::sum)->wait();
    world->all_gather(gathered, none);
    world->reduce_scatter(none, gathered);
    world->start_all_gather(gathered, none)->wait();
    world->start_reduce_scatter(none, gathered)->wait();
    world->broadcast(none, 0);
    EXPECT_EQ(none.numel(), 0);
  }
}

TEST(Communicator, SumRepeatsBitForBitAndIsTheSameOnEveryRank) {
  const auto mesh = make_mpi_mesh(1);
  const at::Tensor input = (at::arange(10007, at::kFloat) * 0.7310585f + 0.1f * static_cast<float>(mesh->world().rank())).sin();
  at::Tensor first = input.clone();
  mesh->world().all_reduce(first, Reduce::sum);
  for (int repeat = 0; repeat < 3; ++repeat) {
    at::Tensor again = input.clone();
    mesh->world().all_reduce(again, Reduce::sum);
    EXPECT_TRUE(at::equal(first, again));
  }
  at::Tensor everywhere = at::empty({mesh->world().size(), first.numel()});
  mesh->world().all_gather(everywhere, first);
  for (int rank = 0; rank < mesh->world().size(); ++rank) EXPECT_TRUE(at::equal(everywhere[rank], first));
}

TEST(Communicator, RefusesWhatItCannotReduce) {
  const auto mesh = make_mpi_mesh(1);
  Communicator& world = mesh->world();
  at::Tensor half = at::zeros({4}, at::kBFloat16), flags = at::zeros({4}, at::kBool), crossed = at::zeros({4, 4}).t();
  EXPECT_EQ(message_of([&] { world.all_reduce(half, Reduce::sum); }),
            "all_reduce on the world axis: MPI cannot reduce BFloat16: convert it to float32 first");
  EXPECT_NE(message_of([&] { world.start_all_reduce(flags, Reduce::sum); }).find("use Reduce::max for any"), std::string::npos);
  EXPECT_NE(message_of([&] { world.broadcast(crossed, 0); }).find("pass values.contiguous()"), std::string::npos);
  at::Tensor output = at::zeros({4});
  EXPECT_NE(message_of([&] { world.all_gather(output, output); }).find("inputs of the same type"), std::string::npos);
  EXPECT_NE(message_of([&] { world.start_reduce_scatter(output, output); }).find("outputs of the same type"), std::string::npos);
  EXPECT_NE(message_of([&] { world.broadcast(output, world.size()); }).find("there is no rank"), std::string::npos);
}

TEST(MpiMesh, TensorAxisIsFastest) {
  const auto mesh = make_mpi_mesh(2);
  const int rank = mesh->world().rank(), size = mesh->world().size();
  EXPECT_EQ(mesh->tensor().size(), 2);
  EXPECT_EQ(mesh->data().size(), size / 2);
  EXPECT_EQ(mesh->tensor().rank(), rank % 2);
  EXPECT_EQ(mesh->data().rank(), rank / 2);
  at::Tensor values = at::full({1}, rank, at::kLong);
  mesh->tensor().all_reduce(values, Reduce::sum);
  EXPECT_EQ(values.item<int64_t>(), rank % 2 == 0 ? 2 * rank + 1 : 2 * rank - 1);
  at::Tensor across = at::full({1}, rank, at::kLong);
  mesh->data().all_reduce(across, Reduce::sum);
  int64_t expected = 0;
  for (int other = rank % 2; other < size; other += 2) expected += other;
  EXPECT_EQ(across.item<int64_t>(), expected);
}

TEST(MpiMesh, RefusesATensorAxisThatDoesNotDivideTheWorld) {
  try {
    make_mpi_mesh(3);
    ADD_FAILURE() << "3 was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("Start a multiple of 3 ranks"), std::string::npos) << error.what();
  }
}

TEST(MpiMesh, RecordsEachCollective) {
  const auto recorder = std::make_shared<FlightRecorder>();
  const auto mesh = make_mpi_mesh(1, recorder);
  at::Tensor values = at::zeros({8});
  mesh->world().all_reduce(values, Reduce::sum);
  auto work = mesh->data().start_all_reduce(values, Reduce::sum);
  EXPECT_EQ(recorder->in_flight().size(), 1u);
  work->wait();
  EXPECT_EQ(recorder->in_flight().size(), 0u);
  const auto entries = recorder->last(10);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].axis, "world");
  EXPECT_STREQ(entries[1].collective, "start_all_reduce");
  EXPECT_EQ(entries[1].bytes, 32);
}

}  // namespace
}  // namespace lacuna
