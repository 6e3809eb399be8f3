#include "trainer/model/flat_storage.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace lacuna {
namespace {

ParameterSpec parameter(const std::string& name, std::vector<int64_t> shape, int64_t partition_dim = -1) {
  ParameterSpec spec;
  spec.name = name;
  spec.full_shape = shape;
  spec.partition_dim = partition_dim;
  spec.value = at::full(shape, 5.0).requires_grad_();
  return spec;
}

// A module keeps its own handle of each parameter, as `weight` and `bias` do here.
struct Linear {
  std::vector<ParameterSpec> specs = {parameter("weight", {3, 5}, 0), parameter("bias", {3}), parameter("scale", {40})};
  at::Tensor weight = specs[0].value, bias = specs[1].value, scale = specs[2].value;
};

TEST(FlatStorage, LaysParametersOutInOrderAlignedAndPadded) {
  Linear linear;
  FlatStorage storage(linear.specs, 3);
  const auto& ranges = storage.ranges();
  ASSERT_EQ(ranges.size(), 3u);
  EXPECT_EQ(ranges[0].name, "weight");
  EXPECT_EQ(ranges[0].offset, 0);
  EXPECT_EQ(ranges[0].count, 15);
  EXPECT_EQ(ranges[1].offset, 32);
  EXPECT_EQ(ranges[2].offset, 64);
  EXPECT_EQ(storage.size(), 192);  // 104, up to a multiple of 3 x 32
  EXPECT_TRUE(ranges[0].decays && ranges[0].partitioned);
  EXPECT_FALSE(ranges[1].decays || ranges[1].partitioned);
  EXPECT_EQ(storage.gradients().numel(), storage.size());
}

TEST(FlatStorage, TheModulesTensorsBecomeViews) {
  Linear linear;
  FlatStorage storage(linear.specs, 1);
  EXPECT_EQ(storage.parameters().abs().sum().item<float>(), 0);
  storage.parameters().copy_(at::arange(storage.size()));
  EXPECT_TRUE(at::equal(linear.weight, at::arange(15, at::kFloat).view({3, 5})));
  EXPECT_TRUE(at::equal(linear.bias, at::arange(32, 35, at::kFloat)));
  EXPECT_TRUE(linear.bias.is_leaf() && linear.bias.requires_grad());
}

TEST(FlatStorage, AutogradAccumulatesIntoTheFlatGradients) {
  Linear linear;
  FlatStorage storage(linear.specs, 1);
  storage.parameters().fill_(1);
  for (int i = 0; i < 2; ++i) (linear.weight.sum() * 2 + linear.bias.sum() * 3).backward();
  at::Tensor expected = at::zeros({storage.size()});
  expected.narrow(0, 0, 15).fill_(4);
  expected.narrow(0, 32, 3).fill_(6);
  EXPECT_TRUE(at::equal(storage.gradients(), expected));
  storage.check_views();
  storage.zero_gradients();
  EXPECT_EQ(storage.gradients().abs().sum().item<float>(), 0);
  EXPECT_EQ(linear.weight.grad().abs().sum().item<float>(), 0);
}

TEST(FlatStorage, OutlivesItsModuleAndTheOtherWayRound) {
  at::Tensor weight;
  {
    Linear linear;
    FlatStorage storage(linear.specs, 1);
    storage.parameters().fill_(2);
    weight = linear.weight;
  }
  EXPECT_EQ(weight.sum().item<float>(), 30);  // the views hold the buffer
}

TEST(FlatStorage, NamesAParameterThatLeftTheBuffers) {
  Linear linear;
  FlatStorage storage(linear.specs, 1);
  linear.bias.mutable_grad() = at::zeros({3});
  EXPECT_NE(testing::error_message(ExitCode::internal, [&] { storage.check_views(); }).find("parameter bias has a .grad outside"),
            std::string::npos);
  linear.weight.set_data(at::zeros({3, 5}));
  EXPECT_NE(testing::error_message(ExitCode::internal, [&] { storage.check_views(); }).find("parameter weight no longer lies"),
            std::string::npos);
}

TEST(FlatStorage, RefusesWhatItCannotHold) {
  std::vector<ParameterSpec> specs = {parameter("half", {4})};
  specs[0].value = at::zeros({4}, at::kBFloat16);
  EXPECT_EQ(testing::error_message(ExitCode::internal, [&] { FlatStorage(specs, 1); }),
            "FlatStorage: parameter half is not fp32");
}

TEST(FlatStorage, FrozenParametersHaveNoGradient) {
  std::vector<ParameterSpec> specs = {parameter("frozen", {4})};
  specs[0].value.requires_grad_(false);
  FlatStorage storage(specs, 1);
  EXPECT_FALSE(specs[0].value.grad().defined());
  storage.check_views();
}

TEST(FlatStorage, AShardedRankKeepsMastersOfItsShardsAlone) {
  Linear whole;
  FlatStorage all(whole.specs, 3, at::kCPU, at::kBFloat16);
  initialize(whole.specs, 1, 0, 1);
  EXPECT_EQ(all.owned_size(), all.size());
  ASSERT_EQ(all.owned().size(), 1u);
  at::Tensor owners = at::zeros({all.size()});
  for (int rank = 0; rank < 3; ++rank) {
    Linear linear;
    FlatStorage storage(linear.specs, 3, at::kCPU, at::kBFloat16, {.rank = rank, .ranks = 3, .bucket_elements = 32});
    EXPECT_EQ(storage.owned_size(), 64);
    EXPECT_EQ(storage.masters().numel(), 64);
    EXPECT_EQ(storage.layout().buckets().size(), 2u);
    const auto expect_same = [&](const char* after) {
      EXPECT_TRUE(at::equal(storage.parameters(), all.parameters())) << after;
      for (const auto& range : storage.owned()) {
        EXPECT_TRUE(at::equal(storage.master(range), all.masters().narrow(0, range.begin, range.count()))) << after;
        EXPECT_TRUE(storage.master(range).is_alias_of(storage.masters()));
      }
    };
    initialize(linear.specs, 1, 0, 1);
    expect_same("initialize");
    storage.parameters().zero_();
    storage.masters().zero_();
    for (size_t i = 0; i < all.ranges().size(); ++i) {
      const auto& range = all.ranges()[i];
      storage.set(i, all.masters().narrow(0, range.offset, range.count).view(range.shape));
    }
    expect_same("set");
    for (const auto& range : storage.owned()) owners.narrow(0, range.begin, range.count()) += 1;
  }
  EXPECT_TRUE(owners.eq(1).all().item<bool>()) << "every element has one owner";
}

TEST(FlatStorage, InFp32TheOwnedMastersAreTheParameters) {
  Linear linear;
  FlatStorage storage(linear.specs, 3, at::kCPU, at::kFloat, {.rank = 1, .ranks = 3});
  EXPECT_FALSE(storage.has_masters());
  ASSERT_EQ(storage.owned().size(), 1u);
  storage.master(storage.owned()[0]).fill_(4);
  EXPECT_TRUE(at::equal(storage.parameters().eq(4).nonzero().view(-1), at::arange(64, 128)));
}

TEST(FlatStorage, AHugeNetworkCostsNothingUntilItIsWritten) {
  std::vector<ParameterSpec> specs = {parameter("large", {1})};
  specs[0].value = at::zeros({1}).expand({int64_t{1} << 36}).detach();  // 256 GiB, and as much for the gradients
  FlatStorage storage(specs, 1);
  EXPECT_EQ(storage.size(), int64_t{1} << 36);
  storage.parameters()[-1].fill_(1);
  EXPECT_EQ(specs[0].value[-1].item<float>(), 1);
}

}  // namespace
}  // namespace lacuna
