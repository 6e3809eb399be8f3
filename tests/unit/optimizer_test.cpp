// AdamW on flat storage against a loop of doubles, the norm that clips, and the schedules' courses.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/random.h"
#include "tests/support/update.h"
#include "trainer/optim/adamw.h"
#include "trainer/optim/schedule.h"
#include "trainer/parallel/mesh.h"

namespace lacuna {
namespace {

// A matrix, a vector and a matrix again, of sizes that leave gaps between them in the flat buffers.
struct Parameters {
  explicit Parameters(int64_t data_size = 1, at::ScalarType compute = at::kFloat, Sharding sharding = {}) {
    table.declare(root, "first", {3, 5}, -1, 1, InitialValues::normal);
    table.declare(root, "vector", {7}, -1, 1, InitialValues::normal);
    table.declare(root, "second", {2, 3, 3}, -1, 1, InitialValues::normal);
    list = table.list(root);
    storage = std::make_unique<FlatStorage>(list, data_size, at::kCPU, compute, sharding);
    initialize(list, 3, 0, 1);
  }
  // Gradients of step `step`, standard normal.
  void draw_gradients(int64_t step) {
    Random random = Random(4, 0).fork(static_cast<uint64_t>(step));
    for (auto& p : list) {
      const auto gradient = p.value.grad();
      auto* g = gradient.data_ptr<float>();
      for (int64_t i = 0; i < gradient.numel(); ++i) g[i] = static_cast<float>(2 * random.uniform() - 1);
    }
  }
  torch::nn::Module root;
  ParameterTable table;
  std::vector<ParameterSpec> list;
  std::unique_ptr<FlatStorage> storage;
};

std::vector<double> values_of(const at::Tensor& tensor) {
  const auto* data = tensor.const_data_ptr<float>();
  return {data, data + tensor.numel()};
}

TEST(AdamWTest, TenStepsAreThoseOfALoopOfDoubles) {
  Parameters parameters;
  const AdamWOptions o{.beta1 = 0.8, .beta2 = 0.9, .epsilon = 1e-6, .weight_decay = 0.3};
  AdamW optimizer(o, *parameters.storage);
  std::vector<std::vector<double>> expected, first, second;
  for (const auto& p : parameters.list) {
    expected.push_back(values_of(p.value.detach()));
    first.emplace_back(expected.back().size());
    second.emplace_back(expected.back().size());
  }
  for (int step = 1; step <= 10; ++step) {
    parameters.draw_gradients(step);
    const double rate = 0.01 * step, clip = 1.0 / step;
    std::vector<std::vector<double>> gradients;
    for (const auto& p : parameters.list) gradients.push_back(values_of(p.value.grad()));
    testing::update(optimizer, step, rate, clip);
    EXPECT_EQ(parameters.storage->gradients().abs().max().item<double>(), 0) << "the next step starts from nothing";
    for (size_t p = 0; p < expected.size(); ++p) {
      const auto& gradient = gradients[p];
      const double decay = parameters.list[p].full_shape.size() >= 2 ? o.weight_decay : 0;
      for (size_t i = 0; i < gradient.size(); ++i) {
        const double g = clip * gradient[i];
        auto &x = expected[p][i], &m = first[p][i], &v = second[p][i];
        m = o.beta1 * m + (1 - o.beta1) * g;
        v = o.beta2 * v + (1 - o.beta2) * g * g;
        x -= rate * (m / (1 - std::pow(o.beta1, step)) / (std::sqrt(v / (1 - std::pow(o.beta2, step))) + o.epsilon) + decay * x);
      }
    }
  }
  for (size_t p = 0; p < expected.size(); ++p) {
    const auto actual = values_of(parameters.list[p].value.detach());
    for (size_t i = 0; i < actual.size(); ++i) {
      EXPECT_NEAR(actual[i], expected[p][i], 2e-6) << parameters.list[p].name << "[" << i << "]";
    }
  }
}

TEST(AdamWTest, DecayFallsOnTensorsOfTwoAndMoreDimensionsOnly) {
  Parameters parameters;
  AdamW optimizer({.weight_decay = 0.5}, *parameters.storage);
  std::vector<std::vector<double>> before;
  for (const auto& p : parameters.list) before.push_back(values_of(p.value.detach()));
  parameters.storage->zero_gradients();
  testing::update(optimizer, 1, 0.1, 1);
  for (size_t p = 0; p < before.size(); ++p) {
    const double kept = parameters.list[p].full_shape.size() >= 2 ? 1 - 0.1 * 0.5 : 1;
    const auto after = values_of(parameters.list[p].value.detach());
    for (size_t i = 0; i < after.size(); ++i) EXPECT_NEAR(after[i], kept * before[p][i], 1e-8) << parameters.list[p].name;
  }
}

// Two networks that differ in one vector's rule alone.
TEST(AdamWTest, ARuleScalesAParametersRateAndHoldsItAboveItsMinimum) {
  for (const auto compute : {at::kFloat, at::kBFloat16}) {
    torch::nn::Module root;
    ParameterTable table;
    for (const auto& [name, rule] : std::vector<std::pair<std::string, UpdateRule>>{
             {"plain", {}}, {"fast", {.rate = 10}}, {"held", {.rate = 1000, .minimum = 4.875}}, {"after", {.minimum = 4.875}}}) {
      table.declare(root, name, {3}, -1, 1, InitialValues::constant, 5, rule);
    }
    auto list = table.list(root);
    FlatStorage storage(list, 1, at::kCPU, compute);
    initialize(list, 1, 0, 1);
    AdamW optimizer({}, storage);
    for (auto& p : list) p.value.mutable_grad().fill_(1);
    testing::update(optimizer, 1, 1e-3, 1);  // the first step is the learning rate
    const auto masters = storage.has_masters() ? storage.masters() : storage.parameters();
    const auto moved = [&](size_t i) { return masters[storage.ranges()[i].offset + 2].item<double>(); };
    EXPECT_NEAR(moved(0), 4.999, 1e-6);
    EXPECT_NEAR(moved(1), 4.99, 1e-6);
    EXPECT_EQ(moved(2), 4.875);
    EXPECT_NEAR(moved(3), 4.999, 1e-6);
    EXPECT_EQ(list[2].value[0].item<double>(), 4.875) << "what the network computes with";
    EXPECT_EQ(masters[storage.ranges()[2].offset + 3].item<double>(), 0) << "a gap is no parameter";
  }
}

TEST(AdamWTest, GapsBetweenParametersStayZero) {
  Parameters parameters;
  AdamW optimizer({}, *parameters.storage);
  for (int step = 1; step <= 3; ++step) {
    parameters.draw_gradients(step);
    testing::update(optimizer, step, 0.1, 1);
  }
  std::vector<at::Tensor> buffers{parameters.storage->parameters()};
  for (const auto& [name, buffer] : optimizer.state()) buffers.push_back(buffer);
  ASSERT_EQ(buffers.size(), 3u);
  for (const auto& buffer : buffers) {
    auto rest = values_of(buffer);
    for (const auto& range : parameters.storage->ranges()) {
      std::fill_n(rest.begin() + range.offset, range.count, 0.0);
    }
    for (size_t i = 0; i < rest.size(); ++i) EXPECT_EQ(rest[i], 0) << "element " << i;
  }
}

TEST(AdamWTest, ShardsTogetherMoveAsTheWholeDoes) {
  for (const auto compute : {at::kFloat, at::kBFloat16}) {
    Parameters whole(3, compute);
    AdamW reference({}, *whole.storage);
    std::vector<std::unique_ptr<Parameters>> ranks;
    std::vector<std::unique_ptr<AdamW>> optimizers;
    for (int rank = 0; rank < 3; ++rank) {
      ranks.push_back(std::make_unique<Parameters>(3, compute, Sharding{.rank = rank, .ranks = 3}));
      optimizers.push_back(std::make_unique<AdamW>(AdamWOptions{}, *ranks.back()->storage));
    }
    for (int step = 1; step <= 3; ++step) {
      Parameters drawn(3);
      drawn.draw_gradients(step);
      whole.storage->gradients().copy_(drawn.storage->gradients());
      testing::update(reference, step, 0.1, 0.5);
      for (size_t r = 0; r < 3; ++r) {
        const auto& storage = *ranks[r]->storage;
        storage.gradients().copy_(drawn.storage->gradients());
        testing::update(*optimizers[r], step, 0.1, 0.5);
        EXPECT_EQ(storage.gradients().abs().max().item<double>(), 0) << "other ranks' too: the next step starts from nothing";
        ASSERT_FALSE(storage.owned().empty());
        for (const auto& range : storage.owned()) {
          const auto part = [&](const at::Tensor& flat) { return flat.narrow(0, range.begin, range.count()); };
          EXPECT_TRUE(part(storage.parameters()).equal(part(whole.storage->parameters()))) << "rank " << r;
          EXPECT_TRUE(storage.master(range).equal(whole.storage->has_masters() ? part(whole.storage->masters())
                                                                              : part(whole.storage->parameters())));
          for (size_t s = 0; s < 2; ++s) {
            const auto mine = optimizers[r]->state()[s].second, all = reference.state()[s].second;
            EXPECT_EQ(mine.numel(), all.numel() / 3);
            EXPECT_TRUE(mine.narrow(0, range.packed, range.count()).equal(part(all)));
          }
        }
      }
    }
  }
}

TEST(GradientNormTest, IsTheEuclideanNormOfAllGradients) {
  Parameters parameters;
  parameters.draw_gradients(1);
  double squares = 0;
  for (const auto& p : parameters.list) {
    for (const double g : values_of(p.value.grad())) squares += g * g;
  }
  const auto mesh = make_self_mesh();
  EXPECT_NEAR(testing::gradient_norm(*parameters.storage, *mesh), std::sqrt(squares), 1e-6 * std::sqrt(squares));
  parameters.list[1].value.grad()[2].fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(std::isnan(testing::gradient_norm(*parameters.storage, *mesh)));
}

TEST(GradientNormTest, TheScaleTakesTheSumToTheMeanAndLongGradientsToTheLimit) {
  using testing::number;
  const auto scale = [](double squared, double count, double limit) {
    return gradient_scale(number(squared), number(count), number(1), limit).scale.item<float>();
  };
  EXPECT_EQ(gradient_scale(number(64), number(2), number(1), 1).norm.item<double>(), 4) << "of the mean";
  EXPECT_EQ(scale(64, 2, 1), 0.125f) << "norm 4, brought to 1, of a sum over 2";
  EXPECT_EQ(scale(1, 2, 1), 0.5f);
  EXPECT_EQ(scale(4, 2, 1), 0.5f);
  EXPECT_EQ(scale(64, 2, 0), 0.5f) << "0 turns clipping off";
  EXPECT_EQ(scale(0, 2, 1), 0.5f) << "no gradient";
}

TEST(GradientNormTest, WhatIsNotFiniteChangesNoParameter) {
  using testing::number;
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(std::isnan(gradient_scale(number(infinity), number(2), number(1), 1).scale.item<float>()));
  EXPECT_TRUE(std::isnan(gradient_scale(number(4), number(2), number(infinity), 1).scale.item<float>()));
  Parameters parameters;
  AdamW optimizer({}, *parameters.storage);
  parameters.draw_gradients(1);
  const auto before = values_of(parameters.storage->parameters());
  testing::update(optimizer, 1, 0.1, std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(values_of(parameters.storage->parameters()), before);
  EXPECT_EQ(parameters.storage->gradients().abs().max().item<double>(), 0);
}

constexpr int64_t kTotal = 100, kWarmup = 10;

class ScheduleTest : public ::testing::TestWithParam<ScheduleKind> {
 protected:
  Schedule schedule{{.kind = GetParam(), .warmup_steps = kWarmup, .final_ratio = 0.1, .decay_share = 0.2}, kTotal};
};

TEST_P(ScheduleTest, ClimbsOverTheWarmUpToFullHeight) {
  EXPECT_DOUBLE_EQ(schedule.factor(1), 0.1);
  EXPECT_DOUBLE_EQ(schedule.factor(5), 0.5);
  EXPECT_DOUBLE_EQ(schedule.factor(kWarmup), 1);
}

TEST_P(ScheduleTest, NeverClimbsAfterTheWarmUp) {
  for (int64_t step = kWarmup + 1; step <= kTotal; ++step) EXPECT_LE(schedule.factor(step), schedule.factor(step - 1)) << step;
}

TEST_P(ScheduleTest, EndsAtItsRatio) {
  const double end = schedule.factor(kTotal);
  switch (GetParam()) {
    case ScheduleKind::constant:
      EXPECT_EQ(end, 1);
      break;
    case ScheduleKind::inverse_sqrt:
      EXPECT_DOUBLE_EQ(end, std::sqrt(0.1));
      break;
    default:
      EXPECT_NEAR(end, 0.1, 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, ScheduleTest,
                         ::testing::Values(ScheduleKind::constant, ScheduleKind::linear, ScheduleKind::cosine,
                                           ScheduleKind::inverse_sqrt, ScheduleKind::warmup_stable_decay),
                         [](const auto& kind) { return std::string(name_of(kind.param)); });

TEST(ScheduleCourseTest, HalfWay) {
  const auto factor = [](ScheduleKind kind, int64_t step) {
    return Schedule({.kind = kind, .warmup_steps = kWarmup, .final_ratio = 0.2, .decay_share = 0.2}, kTotal).factor(step);
  };
  EXPECT_NEAR(factor(ScheduleKind::linear, 55), 0.6, 1e-12);
  EXPECT_NEAR(factor(ScheduleKind::cosine, 55), 0.6, 1e-12);
  EXPECT_GT(factor(ScheduleKind::cosine, 30), factor(ScheduleKind::linear, 30)) << "a cosine falls late";
  EXPECT_EQ(factor(ScheduleKind::warmup_stable_decay, 80), 1) << "the last of the stable steps";
  EXPECT_NEAR(factor(ScheduleKind::warmup_stable_decay, 90), 0.6, 1e-12);
}

TEST(ScheduleCourseTest, WithoutWarmUpTheFirstStepIsAtFullHeight) {
  for (const auto kind : {ScheduleKind::constant, ScheduleKind::linear, ScheduleKind::cosine, ScheduleKind::inverse_sqrt}) {
    EXPECT_EQ(Schedule({.kind = kind}, kTotal).factor(1), 1);
  }
}

}  // namespace
}  // namespace lacuna
