// The mesh of a program that was started plain: every collective is the identity.
#include "trainer/parallel/mesh.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

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
  EXPECT_TRUE(at::equal(values, input));
  EXPECT_TRUE(at::equal(gathered[0], input));
  EXPECT_TRUE(at::equal(scattered, input));
}

}  // namespace
}  // namespace lacuna
