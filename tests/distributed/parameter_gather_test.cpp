// Shards that their owners have written come together, bucket by bucket, in the order in which a network waits for them; a
// checkpoint of shards is one that any layout reads.
#include "trainer/parallel/parameter_gather.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "data/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/network.h"
#include "trainer/optim/adamw.h"
#include "trainer/parallel/mesh.h"
#include "trainer/training_state.h"

namespace lacuna {
namespace {

constexpr int64_t kCount = 3 * 32;

TEST(ParameterGather, EachParameterIsThereOnceItIsWaitedFor) {
  const auto mesh = make_mpi_mesh(1);
  Communicator& axis = mesh->data();
  const int64_t size = 6 * kCount * axis.size();
  const auto expected = at::arange(size, at::kFloat);
  std::vector<BucketParameter> parameters;
  std::vector<int64_t> starts;
  auto values = at::zeros({size});
  for (int64_t begin = 0; begin < size; begin += kCount) {
    parameters.push_back({values.narrow(0, begin, kCount), begin, kCount});
    starts.push_back(begin);
  }
  const ShardLayout layout(starts, size, 2 * kCount, axis.size(), kShardAlignment);
  ASSERT_GT(layout.buckets().size(), 2u);
  ParameterGather gather(parameters, values, layout, axis);
  for (int round = 0; round < 3; ++round) {
    values.zero_();
    for (const auto& shard : layout.shards_in(axis.rank(), 0, size)) {
      values.narrow(0, shard.begin, shard.count()).copy_(expected.narrow(0, shard.begin, shard.count()));
    }
    gather.wait(parameters.front().variable);  // nothing is under way
    gather.start();
    for (const auto& parameter : parameters) {
      gather.wait(parameter.variable);
      EXPECT_TRUE(at::equal(parameter.variable, expected.narrow(0, parameter.offset, parameter.count))) << parameter.offset;
    }
    gather.finish();
  }
  gather.start();
  testing::expect_error(ExitCode::internal, "that it never declared", [&] { gather.wait(at::zeros({3})); });
}

// A storage whose values, and whose optimizer's state, say where they belong: element i of parameter p is 1000 p + i.
struct Marked {
  Marked(Mesh& mesh, bool sharded, at::ScalarType compute)
      : network(testing::make_network(testing::gpt2_shape(), mesh, 61, 8)),
        storage(network->parameters, mesh.data().size(), at::kCPU, compute,
                {.rank = sharded ? mesh.data().rank() : 0, .ranks = sharded ? mesh.data().size() : 1, .bucket_elements = 1500}),
        optimizer({}, storage) {}
  void mark() {
    const torch::NoGradGuard no_grad;
    for (size_t i = 0; i < storage.ranges().size(); ++i) {
      const auto& range = storage.ranges()[i];
      const auto value = (at::arange(range.count, at::kFloat) + 1000.0 * static_cast<double>(i)).view(range.shape);
      storage.set(i, value);
      double factor = 2;
      for (const auto& [name, state] : optimizer.state()) storage.put_owned(i, value * factor++, state);
    }
  }
  std::unique_ptr<testing::Network> network;
  FlatStorage storage;
  AdamW optimizer;
};

TEST(ShardedCheckpoint, SlicesAreThoseOfAnUnshardedRunEachOnce) {
  const int size = make_mpi_mesh(1)->world().size();
  for (int64_t tensor = 1; tensor < size; tensor *= 2) {
    const auto mesh = make_mpi_mesh(tensor);
    for (const auto compute : {at::kFloat, at::kBFloat16}) {
      Marked whole(*mesh, false, compute), sharded(*mesh, true, compute);
      whole.mark();
      sharded.mark();
      const auto unsharded = training_slices(whole.storage, &whole.optimizer, *mesh);
      int64_t num_slices = 0, wrong = 0;
      for (const auto& slice : training_slices(sharded.storage, &sharded.optimizer, *mesh)) {
        ++num_slices;
        const auto number = [&] {
          for (size_t i = 0; i < whole.storage.ranges().size(); ++i) {
            if (slice.name.ends_with("." + whole.storage.ranges()[i].name)) return i;
          }
          return whole.storage.ranges().size();
        }();
        ASSERT_LT(number, whole.storage.ranges().size()) << slice.name;
        const double factor = slice.name.starts_with("parameter.") ? 1 : slice.name.starts_with("optimizer.first") ? 2 : 3;
        const auto& range = whole.storage.ranges()[number];
        const auto marks = at::arange(range.count, at::kFloat) + 1000.0 * static_cast<double>(number);
        const auto value = marks.view(range.shape) * factor;
        wrong += !at::equal(slice.value.to(at::kFloat).cpu(), value);
      }
      EXPECT_EQ(wrong, 0);
      auto counts = at::tensor({static_cast<int64_t>(unsharded.size()), num_slices});
      mesh->world().all_reduce(counts, Reduce::sum);
      EXPECT_EQ(counts[0].item<int64_t>(), counts[1].item<int64_t>()) << "every slice is written once";
    }
  }
}

}  // namespace
}  // namespace lacuna
