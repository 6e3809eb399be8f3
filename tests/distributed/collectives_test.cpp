// Value, gradient and second derivative of the operations of tensor parallelism, against the same done on whole tensors.
#include "trainer/parallel/collectives.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/mm.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "data/error.h"
#include "trainer/parallel/mesh.h"
#include "trainer/parallel/self_communicator.h"

namespace lacuna {
namespace {

// Whatever the rank: `seed` alone decides.
at::Tensor numbers(at::IntArrayRef shape, double seed) {
  return (at::arange(c10::multiply_integers(shape), at::kDouble) * 0.37 + seed).sin().reshape(shape);
}

at::Tensor gradient(const at::Tensor& loss, const at::Tensor& input, bool create_graph = false) {
  return torch::autograd::grad({loss}, {input}, {}, std::nullopt, create_graph)[0];
}

TEST(Collectives, AnAxisOfOneRankReturnsTheInputItself) {
  SelfCommunicator axis("tensor");
  const at::Tensor input = numbers({2, 4}, 0);
  for (const at::Tensor& output :
       {copy_to_axis(input, axis), reduce_from_axis(input, axis), gather_from_axis(input, axis), split_to_axis(input, axis)}) {
    EXPECT_TRUE(output.is_same(input));
  }
}

TEST(Collectives, CopyAndReduceAreEachOthersDerivative) {
  const auto mesh = make_mpi_mesh(1);
  Communicator& axis = mesh->world();
  at::Tensor input = numbers({3, 5}, 1).requires_grad_();
  const at::Tensor copied = copy_to_axis(input, axis);
  EXPECT_TRUE(at::equal(copied, input));
  // Each rank weighs its copy by rank + 1: the gradient is the sum of the weights.
  const double all = axis.size() * (axis.size() + 1) / 2.0;
  EXPECT_TRUE(at::allclose(gradient((copied * (axis.rank() + 1)).sum(), input), at::full_like(input, all)));

  at::Tensor part = (numbers({3, 5}, 2) * (axis.rank() + 1)).requires_grad_();
  const at::Tensor sum = reduce_from_axis(part, axis);
  EXPECT_TRUE(at::allclose(sum, numbers({3, 5}, 2) * all));
  EXPECT_TRUE(at::allclose(gradient((sum * sum).sum(), part), 2 * sum));
  EXPECT_TRUE(at::allclose(part, numbers({3, 5}, 2) * (axis.rank() + 1))) << "the input must not be reduced in place";
}

TEST(Collectives, GatherAndSplitAlongEachDim) {
  const auto mesh = make_mpi_mesh(1);
  Communicator& axis = mesh->world();
  const int64_t n = axis.size(), rank = axis.rank();
  const at::Tensor whole = numbers({2 * n, 3 * n, 4 * n}, 3), weights = numbers({2 * n, 3 * n, 4 * n}, 4);
  for (const int64_t dim : {0, 1, 2, -1}) {
    const int64_t part = whole.size(dim) / n;
    at::Tensor input = whole.clone().requires_grad_();
    at::Tensor mine = split_to_axis(input, axis, dim);
    EXPECT_TRUE(at::equal(mine, whole.narrow(dim, rank * part, part)));
    const at::Tensor gathered = gather_from_axis(mine, axis, dim);
    EXPECT_TRUE(at::equal(gathered, whole));
    EXPECT_TRUE(at::allclose(gradient((gathered * weights).sum(), mine), weights.narrow(dim, rank * part, part)));
    const at::Tensor back = gradient((gather_from_axis(split_to_axis(input, axis, dim), axis, dim) * weights).sum(), input);
    EXPECT_TRUE(at::allclose(back, weights));
  }
}

TEST(Collectives, GatherToAndScatterFromAnAxisAreEachOthersDerivative) {
  const auto mesh = make_mpi_mesh(1);
  Communicator& axis = mesh->world();
  const int64_t n = axis.size(), rank = axis.rank();
  const at::Tensor whole = numbers({3 * n, 4}, 6);
  const double all = static_cast<double>(n * (n + 1)) / 2.0;
  at::Tensor mine = whole.narrow(0, 3 * rank, 3).clone().requires_grad_();
  const at::Tensor gathered = gather_to_axis(mine, axis);
  EXPECT_TRUE(at::equal(gathered, whole));
  // Each rank weighs all rows by rank + 1: a row's gradient is the sum of the weights.
  const at::Tensor weights = numbers({3 * n, 4}, 7);
  const at::Tensor back = gradient((gathered * weights * static_cast<double>(rank + 1)).sum(), mine);
  EXPECT_TRUE(at::allclose(back, all * weights.narrow(0, 3 * rank, 3)));

  at::Tensor part = (whole * static_cast<double>(rank + 1)).requires_grad_();
  const at::Tensor sum = scatter_from_axis(part, axis);
  EXPECT_TRUE(at::allclose(sum, all * whole.narrow(0, 3 * rank, 3)));
  EXPECT_TRUE(at::allclose(gradient((sum * sum).sum(), part), 2 * all * whole)) << "each rank's rows come to every rank";
  EXPECT_TRUE(at::equal(part, whole * static_cast<double>(rank + 1))) << "the input must not be reduced in place";
}

TEST(Collectives, ScatterRefusesRowsThatTheAxisDoesNotDivide) {
  const auto mesh = make_mpi_mesh(1);
  try {
    scatter_from_axis(numbers({2 * mesh->world().size() + 1, 2}, 0), mesh->world());
    ADD_FAILURE() << "an odd number of rows was scattered";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("scatter_from_axis: the world axis"), std::string::npos) << error.what();
  }
}

TEST(Collectives, SplitRefusesADimThatTheAxisDoesNotDivide) {
  const auto mesh = make_mpi_mesh(1);
  try {
    split_to_axis(numbers({3, 5}, 0), mesh->world());
    ADD_FAILURE() << "5 was split";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("does not divide a dim of 5"), std::string::npos) << error.what();
  }
}

// Two linear layers, split by column and then by row: the network that these operations exist for.
TEST(Collectives, ColumnThenRowParallelIsTheWholeNetworkToTheSecondDerivative) {
  const auto mesh = make_mpi_mesh(1);
  Communicator& axis = mesh->world();
  const int64_t n = axis.size();
  const at::Tensor up = numbers({4, 3 * n}, 5), down = numbers({3 * n, 4}, 6);
  const auto slopes = [](const at::Tensor& output, const at::Tensor& input) {
    const at::Tensor first = gradient(output.pow(3).sum(), input, true);
    return std::pair(first, gradient(first.pow(2).sum(), input));
  };

  at::Tensor input = numbers({2, 4}, 7).requires_grad_();
  const auto [first, second] = slopes(at::mm(at::mm(input, up).tanh(), down), input);

  at::Tensor shared = numbers({2, 4}, 7).requires_grad_();
  const at::Tensor my_up = up.narrow(1, 3 * axis.rank(), 3), my_down = down.narrow(0, 3 * axis.rank(), 3);
  const at::Tensor hidden = at::mm(copy_to_axis(shared, axis), my_up).tanh();
  const auto [parallel_first, parallel_second] = slopes(reduce_from_axis(at::mm(hidden, my_down), axis), shared);
  EXPECT_TRUE(at::allclose(parallel_first, first));
  EXPECT_TRUE(at::allclose(parallel_second, second)) << parallel_second - second;
}

}  // namespace
}  // namespace lacuna
