// The sum over the axis, whatever the buckets, the order of backward and the parameters that take part.
#include "trainer/parallel/gradient_buckets.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "data/error.h"
#include "trainer/parallel/mesh.h"
#include "trainer/parallel/self_communicator.h"

namespace lacuna {
namespace {

// Parameters of different sizes over one flat buffer, with gaps between them and padding behind, and the losses that use them.
struct Network {
  explicit Network(const std::vector<int64_t>& counts) {
    int64_t offset = 0;
    for (const int64_t count : counts) {
      parameters.push_back({(at::arange(count, at::kFloat) / count + 1).requires_grad_(), offset, count});
      offset += count + 3;
    }
    gradients = at::zeros({offset + 5});
    for (BucketParameter& parameter : parameters) {
      parameter.variable.mutable_grad() = gradients.narrow(0, parameter.offset, parameter.count);
    }
  }

  // A chain, so that backward reaches the last parameter first; those in `unused` are left out.
  at::Tensor loss(double scale, const std::vector<size_t>& unused = {}) const {
    at::Tensor hidden = at::arange(1, 2, at::kFloat) * scale;
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (std::find(unused.begin(), unused.end(), i) != unused.end()) continue;
      hidden = (hidden * parameters[i].variable.mean()).tanh() + scale * (parameters[i].variable * parameters[i].variable).mean();
    }
    return hidden.sum();
  }

  std::vector<BucketParameter> parameters;
  at::Tensor gradients;
};

const std::vector<int64_t> kCounts = {700, 10, 10, 3000, 1, 250, 250, 40};
constexpr double kKilobyte = 1e-3;  // in megabytes

double scale_of(int rank, int step) { return 0.1 * (rank + 1) + 0.01 * step; }

// The plain sum: every rank's backward, one after the other, on this rank.
at::Tensor expected_sum(int ranks, int step, const std::function<at::Tensor(Network&, double)>& loss) {
  Network network(kCounts);
  for (int rank = 0; rank < ranks; ++rank) loss(network, scale_of(rank, step)).backward();
  return network.gradients;
}

TEST(GradientBuckets, SumsWhateverTheSizeOfTheBuckets) {
  const auto mesh = make_mpi_mesh(1);
  Communicator& axis = mesh->data();
  const auto loss = [](Network& network, double scale) { return network.loss(scale); };
  int64_t previous = 1 << 20;
  for (const double megabytes : {1e-6, kKilobyte, 4 * kKilobyte, 1.0}) {
    Network network(kCounts);
    GradientBuckets buckets(network.parameters, network.gradients, axis, megabytes);
    EXPECT_LT(buckets.num_buckets(), previous);
    previous = buckets.num_buckets();
    for (int step = 0; step < 3; ++step) {
      network.gradients.zero_();
      buckets.arm();
      network.loss(scale_of(axis.rank(), step)).backward();
      buckets.finish();
      EXPECT_EQ(buckets.num_overlapped(), buckets.num_buckets()) << "all parameters were used";
      EXPECT_TRUE(at::allclose(network.gradients, expected_sum(axis.size(), step, loss), 1e-5, 1e-7));
    }
  }
  EXPECT_EQ(previous, 1);
}

TEST(GradientBuckets, SendsOnlyAfterTheLastMicroBatch) {
  const auto mesh = make_mpi_mesh(1);
  Communicator& axis = mesh->data();
  Network network(kCounts);
  GradientBuckets buckets(network.parameters, network.gradients, axis, kKilobyte);
  for (int micro = 0; micro < 3; ++micro) {
    if (micro == 2) buckets.arm();
    network.loss(scale_of(axis.rank(), micro)).backward();
  }
  buckets.finish();
  at::Tensor expected = at::zeros_like(network.gradients);
  for (int micro = 0; micro < 3; ++micro) {
    expected += expected_sum(axis.size(), micro, [](Network& n, double scale) { return n.loss(scale); });
  }
  EXPECT_TRUE(at::allclose(network.gradients, expected, 1e-5, 1e-7));
}

TEST(GradientBuckets, FinishAloneIsAPlainSum) {
  const auto mesh = make_mpi_mesh(1);
  Network network(kCounts);
  GradientBuckets buckets(network.parameters, network.gradients, mesh->data(), kKilobyte);
  network.gradients.fill_(mesh->data().rank() + 1);
  buckets.finish();
  const int size = mesh->data().size();
  EXPECT_TRUE(at::equal(network.gradients, at::full_like(network.gradients, size * (size + 1) / 2)));
  EXPECT_EQ(buckets.num_overlapped(), 0);
}

TEST(GradientBuckets, UnusedParametersHoldBackOnlyWhatComesAfterThem) {
  const auto mesh = make_mpi_mesh(1);
  Communicator& axis = mesh->data();
  Network network(kCounts);
  GradientBuckets buckets(network.parameters, network.gradients, axis, 1e-6);  // a bucket a parameter
  const auto loss = [](Network& n, double scale) { return n.loss(scale, {2, 5}); };
  buckets.arm();
  loss(network, scale_of(axis.rank(), 0)).backward();
  buckets.finish();
  EXPECT_EQ(buckets.num_overlapped(), 2) << "parameters 7 and 6; 5 is unused";
  EXPECT_TRUE(at::allclose(network.gradients, expected_sum(axis.size(), 0, loss), 1e-5, 1e-7));
}

TEST(GradientBuckets, RanksMayUseDifferentParametersInDifferentOrder) {
  const auto mesh = make_mpi_mesh(1);
  Communicator& axis = mesh->data();
  const auto loss_of = [](int rank) {
    return [rank](Network& n, double scale) {
      at::Tensor sum = at::zeros({1});
      for (size_t i = 0; i < n.parameters.size(); ++i) {
        const size_t at = rank % 2 == 0 ? i : n.parameters.size() - 1 - i;
        if (static_cast<int>(at) == rank) continue;
        sum = (sum + scale * n.parameters[at].variable.pow(2).mean()).sin();
      }
      return sum.sum();
    };
  };
  at::Tensor expected;
  for (int rank = 0; rank < axis.size(); ++rank) {
    Network network(kCounts);
    loss_of(rank)(network, scale_of(rank, 0)).backward();
    expected = expected.defined() ? expected + network.gradients : network.gradients;
  }
  Network network(kCounts);
  GradientBuckets buckets(network.parameters, network.gradients, axis, kKilobyte);
  buckets.arm();
  loss_of(axis.rank())(network, scale_of(axis.rank(), 0)).backward();
  buckets.finish();
  EXPECT_TRUE(at::allclose(network.gradients, expected, 1e-5, 1e-7));
}

TEST(GradientBuckets, AParameterUsedTwiceIsSentOnce) {
  const auto mesh = make_mpi_mesh(1);
  Communicator& axis = mesh->data();
  const auto loss = [](Network& n, double scale) {
    const at::Tensor& tied = n.parameters[0].variable;  // at both ends of the network, as an embedding and its head
    return (n.loss(scale) * tied.exp().mean()).sum() + tied.pow(3).mean();
  };
  Network network(kCounts);
  GradientBuckets buckets(network.parameters, network.gradients, axis, kKilobyte);
  buckets.arm();
  loss(network, scale_of(axis.rank(), 0)).backward();
  buckets.finish();
  EXPECT_TRUE(at::allclose(network.gradients, expected_sum(axis.size(), 0, loss), 1e-5, 1e-7));
  EXPECT_EQ(buckets.num_overlapped(), buckets.num_buckets());
}

// A fused node adds the gradient of its parameter to the flat buffer itself and gives autograd nothing.
struct Fused : torch::autograd::Function<Fused> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& input, const at::Tensor& parameter) {
    ctx->saved_data["grad"] = parameter.grad();
    return input * parameter.sum();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& gradients) {
    ctx->saved_data["grad"].toTensor().add_(gradients[0].sum());
    return {gradients[0], at::Tensor()};
  }
};

TEST(GradientBuckets, AGradientWrittenPastAutogradIsReadyToo) {
  const auto mesh = make_mpi_mesh(1);
  Communicator& axis = mesh->data();
  Network network({5, 6});
  at::Tensor input = at::zeros({2}).requires_grad_();
  GradientBuckets buckets(network.parameters, network.gradients, axis, 1e-6);
  buckets.arm();
  const at::Tensor first = Fused::apply(input, network.parameters[0].variable);
  (Fused::apply(first, network.parameters[1].variable) * (axis.rank() + 1)).sum().backward();
  buckets.finish();
  EXPECT_EQ(buckets.num_overlapped(), 2);
  const float weight = axis.size() * (axis.size() + 1) / 2.0f;
  EXPECT_TRUE(at::allclose(network.parameters[1].variable.grad(), at::full({6}, 2 * weight)));
}

// Offsets and size as a flat storage makes them: shards of 32 elements must fit.
at::Tensor padded_for(const Communicator& axis, Network& network) {
  const int64_t unit = kShardAlignment * axis.size(), size = (network.gradients.numel() + unit - 1) / unit * unit;
  network.gradients = at::zeros({size});
  for (BucketParameter& parameter : network.parameters) {
    parameter.variable.mutable_grad() = network.gradients.narrow(0, parameter.offset, parameter.count);
  }
  return network.gradients;
}

TEST(GradientBuckets, ReduceScatterGivesEachRankItsShardsOfTheSum) {
  const auto mesh = make_mpi_mesh(1);
  Communicator& axis = mesh->data();
  const auto loss = [](Network& network, double scale) { return network.loss(scale); };
  int64_t previous = 1 << 20;
  for (const double megabytes : {1e-6, 4 * kKilobyte, 1.0}) {
    Network network(kCounts);
    const at::Tensor gradients = padded_for(axis, network);
    GradientBuckets buckets(network.parameters, gradients, axis, megabytes, ReduceMode::reduce_scatter);
    EXPECT_LT(buckets.num_buckets(), previous);
    previous = buckets.num_buckets();
    const ShardLayout& layout = buckets.layout();
    EXPECT_EQ(layout.num_ranks(), axis.size());
    for (int step = 0; step < 3; ++step) {
      gradients.zero_();
      buckets.arm();
      network.loss(scale_of(axis.rank(), step)).backward();
      buckets.finish();
      EXPECT_EQ(buckets.num_overlapped(), buckets.num_buckets());
      const at::Tensor expected = at::zeros_like(gradients), sum = expected_sum(axis.size(), step, loss);
      expected.narrow(0, 0, sum.numel()).copy_(sum);
      int64_t owned = 0;
      for (size_t bucket = 0; bucket < layout.buckets().size(); ++bucket) {
        const auto shard = layout.shard(bucket, axis.rank());
        EXPECT_TRUE(at::allclose(gradients.narrow(0, shard.begin, shard.count()), expected.narrow(0, shard.begin, shard.count()),
                                 1e-5, 1e-7));
        owned += shard.count();
      }
      EXPECT_EQ(owned, gradients.numel() / axis.size());
    }
  }
  EXPECT_EQ(previous, 1);
}

TEST(GradientBuckets, AParameterAcrossBucketsHoldsBackAllOfThem) {
  const auto mesh = make_mpi_mesh(1);
  Communicator& axis = mesh->data();
  const int64_t unit = kShardAlignment * axis.size();
  Network network({unit / 2, unit, unit});  // no parameter but the first begins where a bucket may
  padded_for(axis, network);
  GradientBuckets buckets(network.parameters, network.gradients, axis, 1e-6, ReduceMode::reduce_scatter);
  EXPECT_EQ(buckets.num_buckets(), 3);
  buckets.arm();
  network.loss(1, {1}).backward();  // the second parameter lies in both lower buckets
  buckets.finish();
  EXPECT_EQ(buckets.num_overlapped(), 1);
}

TEST(GradientBuckets, ReduceScatterRefusesABufferThatIsNotPadded) {
  const auto mesh = make_mpi_mesh(1);
  Network network({5, 6});
  try {
    GradientBuckets(network.parameters, network.gradients, mesh->data(), 1, ReduceMode::reduce_scatter);
    ADD_FAILURE() << "22 elements were shared";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("pad the flat buffer's end"), std::string::npos) << error.what();
  }
}

TEST(GradientBuckets, RefusesASecondBackwardOnceArmed) {
  const auto mesh = make_mpi_mesh(1);
  Network network(kCounts);
  GradientBuckets buckets(network.parameters, network.gradients, mesh->data(), kKilobyte);
  buckets.arm();
  network.loss(1).backward();
  try {
    network.loss(1).backward();
    ADD_FAILURE() << "a second backward was taken";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("Call arm() before the step's last backward only"), std::string::npos)
        << error.what();
  }
  buckets.finish();
}

TEST(GradientBuckets, NothingHappensOnAnAxisOfOneRank) {
  SelfCommunicator axis("data");
  Network network(kCounts);
  GradientBuckets buckets(network.parameters, network.gradients, axis, kKilobyte);
  const at::Tensor expected = expected_sum(1, 0, [](Network& n, double scale) { return n.loss(scale); });
  buckets.arm();
  network.loss(scale_of(0, 0)).backward();
  buckets.finish();
  EXPECT_TRUE(at::equal(network.gradients, expected));
  EXPECT_EQ(buckets.num_overlapped(), 0);
}

}  // namespace
}  // namespace lacuna
