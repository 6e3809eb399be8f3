// Bucketed gradients on the device against the sum of every rank's backward, eager and inside a CUDA graph.
#include "trainer/parallel/gradient_buckets.h"

#include <ATen/cuda/CUDAGraph.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAGuard.h>

#include "tests/gpu/distributed/device_axis.h"

namespace lacuna {
namespace {

using namespace testing;
using NcclGradients = DeviceAxis;

const std::vector<int64_t> kCounts = {700, 10, 3000, 1, 250, 40};

struct Network {
  explicit Network(int ranks) {
    const auto options = at::TensorOptions(own_device()).dtype(at::kFloat);
    int64_t offset = 0;
    for (const int64_t count : kCounts) {
      parameters.push_back({(at::arange(count, options) / count + 1).requires_grad_(), offset, count});
      offset += count + 3;
    }
    const int64_t unit = kShardAlignment * ranks;
    gradients = at::zeros({(offset + unit - 1) / unit * unit}, options);
    for (BucketParameter& parameter : parameters) {
      parameter.variable.mutable_grad() = gradients.narrow(0, parameter.offset, parameter.count);
    }
    scale = at::zeros({1}, options);
  }

  // A chain, so that backward reaches the last parameter first.
  void backward() const {
    at::Tensor hidden = scale;
    for (const BucketParameter& parameter : parameters) {
      hidden = (hidden * parameter.variable.mean()).tanh() + scale * (parameter.variable * parameter.variable).mean();
    }
    hidden.sum().backward();
  }

  std::vector<BucketParameter> parameters;
  at::Tensor gradients, scale;
};

double scale_of(int rank, int step) { return 0.1 * (rank + 1) + 0.01 * step; }

at::Tensor expected_sum(int ranks, int step) {
  Network network(ranks);
  for (int rank = 0; rank < ranks; ++rank) {
    network.scale.fill_(scale_of(rank, step));
    network.backward();
  }
  return network.gradients;
}

// What this rank must have after finish(): all of it, or its shards.
void expect_sum(const at::Tensor& gradients, const at::Tensor& expected, const ShardLayout& layout, int rank,
                const std::string& what) {
  const auto shards = layout.shards_in(layout.num_ranks() == 1 ? 0 : rank, 0, layout.size());
  for (const auto& shard : shards) {
    expect_close(gradients.narrow(0, shard.begin, shard.count()), expected.narrow(0, shard.begin, shard.count()),
                 what + ", shard at " + std::to_string(shard.begin), 1e-5);
  }
}

std::string words(ReduceMode mode, double megabytes) {
  return std::string(mode == ReduceMode::all_reduce ? "all_reduce" : "reduce_scatter") + " in buckets of " +
         std::to_string(megabytes) + " MB";
}

TEST_F(NcclGradients, SumsInEveryModeAndSizeOfBuckets) {
  for (const ReduceMode mode : {ReduceMode::all_reduce, ReduceMode::reduce_scatter}) {
    for (const double megabytes : {1e-6, 4e-3, 1.0}) {
      Network network(axis().size());
      GradientBuckets buckets(network.parameters, network.gradients, axis(), megabytes, mode);
      for (int step = 0; step < 2; ++step) {
        network.gradients.zero_();
        network.scale.fill_(scale_of(axis().rank(), step));
        buckets.arm();
        network.backward();
        buckets.finish();
        EXPECT_EQ(buckets.num_overlapped(), buckets.num_buckets());
        expect_sum(network.gradients, expected_sum(axis().size(), step), buckets.layout(), axis().rank(),
                   words(mode, megabytes) + ", step " + std::to_string(step));
      }
    }
  }
}

TEST_F(NcclGradients, ACudaGraphCapturesAWholeStep) {
  for (const ReduceMode mode : {ReduceMode::all_reduce, ReduceMode::reduce_scatter}) {
    const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool(false, own_device().index()));
    Network network(axis().size());
    GradientBuckets buckets(network.parameters, network.gradients, axis(), 4e-3, mode);
    const auto step = [&] {
      network.gradients.zero_();
      buckets.arm();
      network.backward();
      buckets.finish();
    };
    step();
    c10::cuda::device_synchronize();
    at::cuda::CUDAGraph graph;
    graph.capture_begin();
    step();
    graph.capture_end();
    for (int replay = 0; replay < 3; ++replay) {
      network.gradients.fill_(77);
      network.scale.fill_(scale_of(axis().rank(), replay));
      graph.replay();
      expect_sum(network.gradients, expected_sum(axis().size(), replay), buckets.layout(), axis().rank(),
                 words(mode, 4e-3) + ", replay " + std::to_string(replay));
    }
    c10::cuda::device_synchronize();
  }
}

}  // namespace
}  // namespace lacuna
