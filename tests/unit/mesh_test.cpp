// The mesh of a program that was started plain: every collective is the identity.
#include "trainer/parallel/mesh.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "trainer/parallel/self_communicator.h"

namespace lacuna {
namespace {

TEST(SelfMesh, HasOneRankOnEachAxis) {
  const auto mesh = make_self_mesh();
  for (Communicator* axis : {&mesh->world(), &mesh->data(), &mesh->tensor()}) {
    EXPECT_EQ(axis->rank(), 0);
    EXPECT_EQ(axis->size(), 1);
  }
  EXPECT_EQ(mesh->world().name(), "world");
  EXPECT_EQ(mesh->data().name(), "data");
  EXPECT_EQ(mesh->tensor().name(), "tensor");
}

TEST(SelfMesh, CollectivesAreTheIdentity) {
  const auto mesh = make_self_mesh();
  Communicator& axis = mesh->data();
  const at::Tensor input = at::arange(6, at::kBFloat16);
  at::Tensor values = input.clone(), gathered = at::empty({1, 6}, at::kBFloat16), scattered = at::empty({6}, at::kBFloat16);
  axis.all_reduce(values, Reduce::sum);
  const auto work = axis.start_all_reduce(values, Reduce::max);
  EXPECT_TRUE(work->test());
  work->wait();
  axis.broadcast(values, 0);
  axis.barrier();
  axis.all_gather(gathered, input);
  axis.reduce_scatter(scattered, input);
  axis.start_all_gather(gathered, input)->wait();
  axis.start_reduce_scatter(scattered, input)->wait();
  axis.reduce_scatter(values, values);  // in place
  EXPECT_TRUE(at::equal(values, input));
  EXPECT_TRUE(at::equal(gathered[0], input));
  EXPECT_TRUE(at::equal(scattered, input));
}

// An axis whose device has lost a rank.
class LostAxis : public SelfCommunicator {
 public:
  explicit LostAxis(int& num_aborted) : SelfCommunicator("data"), num_aborted_(num_aborted) {}
  std::optional<std::string> failure() override { return "rank 3 is gone"; }
  void abort() noexcept override { ++num_aborted_; }

 private:
  int& num_aborted_;
};

TEST(Mesh, CheckEndsEveryAxisAndTellsTheFailure) {
  int num_aborted = 0;
  Mesh mesh(std::make_unique<LostAxis>(num_aborted), std::make_unique<LostAxis>(num_aborted),
            std::make_unique<SelfCommunicator>("tensor"));
  testing::expect_error(ExitCode::communication, "rank 3 is gone", [&] { mesh.check(); });
  EXPECT_EQ(num_aborted, 2);
}

TEST(Mesh, CheckSaysNothingWhileAllIsWell) {
  const auto mesh = make_self_mesh();
  EXPECT_FALSE(mesh->failure());
  mesh->check();
}

}  // namespace
}  // namespace lacuna
