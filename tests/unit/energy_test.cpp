// What descending on candidates owes: its derivatives against finite differences, its parts against one another, and that noise and
// replays are those of a row, whatever the batch.
#include "objectives/energy.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "objectives/catalog.h"
#include "objectives/descent.h"
#include "tests/support/energy_network.h"
#include "tests/support/expect_error.h"
#include "trainer/kernels/random_rows.h"
#include "trainer/model/catalog.h"

namespace lacuna {
namespace {

using testing::energy_batch;
using testing::EnergyNetwork;
using testing::EnergySize;
using testing::make_energy_network;
using testing::relative_error;
using testing::rows_of;

class EnergyTest : public ::testing::Test {
 protected:
  std::unique_ptr<EnergyNetwork> make(const EnergyOptions& options, at::ScalarType type = at::kFloat) {
    return make_energy_network(options, *mesh, size, type);
  }
  EnergySize size;
  std::unique_ptr<Mesh> mesh = make_self_mesh();
};

double metric(const Loss& loss, const std::string& name) {
  for (const auto& [key, value] : loss.metrics) {
    if (key == name) return value.item<double>();
  }
  throw std::invalid_argument("no metric " + name);
}

// Of each parameter the element of the largest gradient: that against a central difference of `loss`.
void expect_derivatives(EnergyNetwork& network, const std::function<at::Tensor()>& loss) {
  for (auto& p : network.parameters) p.value.mutable_grad() = at::Tensor();
  loss().backward();
  const torch::NoGradGuard no_grad;
  for (auto& p : network.parameters) {
    ASSERT_TRUE(p.value.grad().defined()) << p.name;
    const double largest = p.value.grad().abs().max().item<double>();
    const auto at = p.value.grad().abs().argmax().item<int64_t>();
    auto element = p.value.view(-1).narrow(0, at, 1);
    const double before = element.item<double>(), h = 1e-6 * std::max(1.0, std::abs(before));
    const auto there = [&](double value) {
      element.fill_(value);
      return loss().item<double>();
    };
    const double slope = (there(before + h) - there(before - h)) / (2 * h);
    element.fill_(before);
    EXPECT_NEAR(p.value.grad().view(-1)[at].item<double>(), slope, 2e-6 * largest + 1e-8) << p.name << "[" << at << "]";
  }
}

TEST_F(EnergyTest, WithoutDetachTheGradientIsTheDerivativeThroughAllSteps) {
  const auto network = make({.steps = 2, .landscapes = 2, .alpha = 3, .detach = false, .truncate = false}, at::kDouble);
  const auto batch = energy_batch(*network->objective, size);
  expect_derivatives(*network, [&] { return network->objective->loss(*network->decoder, batch).sum; });
}

TEST_F(EnergyTest, LangevinNoiseAndARangeOfStepsAndAlphasAreDifferentiatedToo) {
  const auto network = make({.steps = 3, .steps_min = 2, .landscapes = 1, .alpha = 3, .alpha_spread = 2, .detach = false,
                             .truncate = false, .langevin = 0.5},
                            at::kDouble);
  const auto batch = energy_batch(*network->objective, size);
  expect_derivatives(*network, [&] { return network->objective->loss(*network->decoder, batch).sum; });
}

// With detach the gradient is the mean over steps of the single steps' gradients, what they start from held fast.
TEST_F(EnergyTest, DetachedStepsHaveTheDerivativesOfSingleSteps) {
  const auto network = make({.steps = 2, .landscapes = 2, .alpha = 3}, at::kDouble);
  const auto batch = energy_batch(*network->objective, size);
  auto& n = *network;
  const auto step = [&](int64_t i, const at::Tensor& p) {
    const auto text = n.decoder->observe(batch, n["objective.landscapes"][i]);
    return p - n["objective.alpha"] * slope(*text, n.decoder->head(), n["objective.energy_head"], p, true).g;
  };
  const auto noise = normal_rows(Random(11, 2).fork("energy").fork("start").fork(uint64_t{0}), batch.stream_positions * 2,
                                 size.length * size.vocabulary_size)
                         .view({4, size.length, size.vocabulary_size})
                         .to(at::kDouble);
  const auto p0 = at::softmax(noise, -1), p1 = at::softmax(step(0, p0).detach(), -1);
  const auto losses = [&] {
    at::Tensor sum;
    for (const int64_t i : {0, 1}) {
      const auto logs = at::log_softmax(step(i, i == 0 ? p0 : p1), -1);
      const auto part = -logs.gather(2, batch.targets.to(at::kLong).unsqueeze(-1)).sum() / 2;
      sum = sum.defined() ? sum + part : part;
    }
    return sum;
  };
  expect_derivatives(n, losses);
  std::vector<at::Tensor> expected;
  for (const auto& p : n.parameters) expected.push_back(p.value.grad().clone());
  const double loss = n.backward(batch);
  EXPECT_NEAR(loss, losses().item<double>(), 1e-6 * loss);  // the noise is rounded to fp32 before its softmax
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_LT(relative_error(n.parameters[i].value.grad(), expected[i]), 1e-5) << n.parameters[i].name;
}

TEST_F(EnergyTest, OneDetachedStepIsOneTruncatedStep) {
  const auto detached = make({.steps = 1, .landscapes = 1, .alpha = 3});
  const auto through = make({.steps = 1, .landscapes = 1, .alpha = 3, .detach = false});
  const auto batch = energy_batch(*detached->objective, size);
  EXPECT_EQ(detached->backward(batch), through->backward(batch));
  for (size_t i = 0; i < detached->parameters.size(); ++i) {
    EXPECT_LT(relative_error(through->parameters[i].value.grad(), detached->parameters[i].value.grad()), 1e-6);
  }
}

// Truncated: an earlier step's slope is a number, so alpha's gradient is the whole one's less what passes through that slope.
TEST_F(EnergyTest, TruncationCutsTheSlopesOfAllStepsButTheLast) {
  const EnergyOptions whole{.steps = 2, .landscapes = 1, .alpha = 3, .detach = false, .truncate = false};
  auto cut = whole;
  cut.truncate = true;
  const auto a = make(whole, at::kDouble), b = make(cut, at::kDouble);
  const auto batch = energy_batch(*a->objective, size);
  EXPECT_NEAR(a->backward(batch), b->backward(batch), 1e-9);
  EXPECT_GT(relative_error((*a)["objective.energy_head"].grad(), (*b)["objective.energy_head"].grad()), 1e-3);
  // With rows of 2 or 3 steps, those of 2 have their last step where others have not: finite values, and rows are on their own.
  auto drawn = cut;
  drawn.steps = 3;
  drawn.steps_min = 2;
  const auto c = make(drawn, at::kDouble);
  double sum = 0;
  std::map<std::string, at::Tensor> gradients;
  for (int64_t row = 0; row < size.rows_per_step; ++row) {
    sum += c->backward(rows_of(batch, row, 1));
    for (const auto& p : c->parameters) gradients[p.name] = gradients.contains(p.name) ? gradients[p.name] + p.value.grad() : p.value.grad().clone();
  }
  EXPECT_NEAR(c->backward(batch), sum, 1e-9 * sum);
  for (const auto& p : c->parameters) EXPECT_LT(relative_error(p.value.grad(), gradients[p.name]), 1e-9) << p.name;
}

TEST_F(EnergyTest, AlphasGradientIsMinusTheProductOfTheLossesGradientAndTheSlope) {
  const auto network = make({.steps = 1, .landscapes = 1, .alpha = 2});
  auto& n = *network;
  const auto batch = energy_batch(*n.objective, size);
  n.backward(batch);
  n.decoder->eval();
  const auto logits = n.objective->logits(*n.decoder, batch, {});  // p - alpha g
  const auto p = at::softmax(normal_rows(Random(11, 2).fork("energy").fork("start").fork(uint64_t{0}), batch.stream_positions * 2,
                                         size.length * size.vocabulary_size)
                                 .view_as(logits),
                             -1);
  const auto g = (p - logits) / 2;
  auto by_logits = at::softmax(logits, -1);
  by_logits = by_logits.scatter_add(2, batch.targets.to(at::kLong).unsqueeze(-1), -at::full_like(by_logits.narrow(2, 0, 1), 1));
  EXPECT_NEAR(n["objective.alpha"].grad().item<double>(), -(by_logits * g).sum().item<double>(), 1e-4);
}

TEST_F(EnergyTest, WithoutAnEnergyTheLogitsAreTheProbabilitiesOfTheNoise) {
  const auto network = make({.steps = 2, .landscapes = 2, .alpha = 500});
  const torch::NoGradGuard no_grad;
  (*network)["objective.energy_head"].zero_();
  const auto batch = energy_batch(*network->objective, size);
  const auto loss = network->objective->loss(*network->decoder, batch);
  EXPECT_EQ(metric(loss, "slope"), 0);
  EXPECT_EQ(metric(loss, "energy_gap"), 0);
  EXPECT_NEAR(loss.sum.item<double>() / batch.target_count, std::log(7.0), 1);
  EXPECT_NEAR(metric(loss, "alpha") / batch.target_count, 500, 1e-3);
}

TEST_F(EnergyTest, SmallStepsOnCandidatesThatAreNotNormalisedGoDownhill) {
  double before = 0;
  for (int64_t steps = 2; steps <= 6; ++steps) {
    const auto network = make({.steps = steps, .landscapes = 1, .alpha = 0.01, .normalise = false});
    network->decoder->eval();
    const double gap = metric(network->objective->loss(*network->decoder, energy_batch(*network->objective, size)), "energy_gap");
    EXPECT_GT(gap, before) << steps << " steps";
    before = gap;
  }
}

TEST_F(EnergyTest, ABatchIsTheSumOfItsRows) {
  const auto network = make({.steps = 3, .steps_min = 2, .landscapes = 2, .alpha = 3, .alpha_spread = 2, .langevin = 1});
  const auto batch = energy_batch(*network->objective, size);
  const double first = network->loss(rows_of(batch, 0, 1)), rest = network->loss(rows_of(batch, 1, 3));
  EXPECT_NEAR(network->loss(batch), first + rest, 1e-5 * (first + rest));
  EXPECT_NE(network->loss(energy_batch(*network->objective, size, 1)), network->loss(batch)) << "another step, other noise";
}

TEST_F(EnergyTest, EvaluationIsTheLastStepFromNoiseThatDoesNotChange) {
  const auto network = make({.steps = 3, .steps_min = 1, .landscapes = 1, .alpha = 3, .alpha_spread = 2});
  const auto batch = energy_batch(*network->objective, size);
  network->decoder->eval();
  const torch::NoGradGuard no_grad;
  const auto loss = network->objective->loss(*network->decoder, batch);
  EXPECT_EQ(loss.sum.item<double>(), metric(loss, "cross_entropy_last"));
  const auto logs = at::log_softmax(network->objective->logits(*network->decoder, batch, {}), -1);
  EXPECT_NEAR(loss.sum.item<double>(), -logs.gather(2, batch.targets.to(at::kLong).unsqueeze(-1)).sum().item<double>(), 1e-4);
}

TEST_F(EnergyTest, MoreSamplesAreWonByTheLeastEnergy) {
  const auto network = make({.steps = 2, .landscapes = 2, .alpha = 3});
  auto& n = *network;
  n.decoder->eval();
  const auto batch = energy_batch(*n.objective, size);
  const auto text = n.decoder->observe(batch, n["objective.landscapes"][1]);
  const auto energy_after = [&](int64_t samples) {
    return energies(*text, n.decoder->head(), n["objective.energy_head"],
                    at::softmax(n.objective->logits(*n.decoder, batch, {.samples = samples}), -1));
  };
  const auto one = energy_after(1), eight = energy_after(8);
  EXPECT_TRUE(eight.le(one + 1e-6).all().item<bool>());
  EXPECT_TRUE(eight.lt(one - 1e-6).any().item<bool>());
  EXPECT_FALSE(at::equal(n.objective->logits(*n.decoder, batch, {.steps = 3}), n.objective->logits(*n.decoder, batch, {})));
}

TEST_F(EnergyTest, GenerationSearchesForWhatFollowsTheTextSoFar) {
  const auto network = make({.steps = 2, .landscapes = 2, .alpha = 3, .langevin = 0.3});
  network->decoder->eval();
  auto batch = energy_batch(*network->objective, size);
  batch.stream_positions = at::arange(4, at::kLong);
  const auto all = network->objective->logits(*network->decoder, batch, {});
  const auto generation = network->objective->generate(*network->decoder, 4);
  EXPECT_LT(relative_error(generation->advance(batch.tokens.narrow(1, 0, 2)), all.select(1, 1)), 1e-5);
  EXPECT_LT(relative_error(generation->advance(batch.tokens.narrow(1, 2, 1)), all.select(1, 2)), 1e-5);
  EXPECT_EQ(generation->length(), 3);
}

TEST_F(EnergyTest, ReplayedRowsGoOnFromWhereTheirDescentEnded) {
  const EnergyOptions options{.steps = 2, .landscapes = 1, .alpha = 3, .alpha_learnable = false, .detach = false, .replay_rows = 2};
  const auto network = make(options);
  auto& n = *network;
  const auto first = energy_batch(*n.objective, size, 0), second = energy_batch(*n.objective, size, 1);
  EXPECT_FALSE(first.replayed.defined()) << "nothing has been seen before the first step";
  EXPECT_EQ(first.target_count, 4 * 5);
  ASSERT_TRUE(second.replayed.defined());
  EXPECT_TRUE(at::equal(second.kept, at::tensor({1, 3}, at::kLong)));
  EXPECT_TRUE(at::equal(second.replayed, at::tensor({1, 3}, at::kLong))) << "two places keep one row each";
  EXPECT_EQ(second.target_count, (4 + 2) * 5);

  n.loss(first);
  n.decoder->eval();
  auto ended = n.objective->logits(*n.decoder, first, {});
  n.decoder->train();
  const auto state = n.objective->state();
  ASSERT_EQ(state.size(), 3u);
  EXPECT_TRUE(at::equal(state[0].second.squeeze(1), first.tokens.index_select(0, first.kept)));
  EXPECT_LT(relative_error(state[2].second.squeeze(1), ended.index_select(0, first.kept)), 1e-5);
  EXPECT_FALSE(state[2].second.requires_grad());

  // The second step's loss is that of its own rows and of two rows that start from the stored logits.
  const double with = n.loss(second);
  auto alone = second;
  alone.replayed = alone.kept = at::Tensor();
  const double own = n.loss(alone);
  EXPECT_GT(with, own + 1);
  const auto kept = n.objective->state()[0].second.squeeze(1);
  EXPECT_TRUE(at::equal(kept, second.tokens.index_select(0, second.kept))) << "fresh rows take the place of old ones";
}

TEST_F(EnergyTest, ReplayIsTheSameForMicroBatchesAndAfterAResume) {
  const EnergyOptions options{.steps = 2, .landscapes = 2, .alpha = 3, .replay_rows = 6};  // two places, three steps deep
  const auto whole = make(options), parts = make(options);
  for (int64_t step = 0; step < 6; ++step) {
    const auto batch = energy_batch(*whole->objective, size, step);
    const double loss = whole->loss(batch);
    double sum = 0;
    for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 1}, {1, 2}, {3, 1}}) sum += parts->loss(rows_of(batch, first, count));
    EXPECT_NEAR(loss, sum, 1e-5 * sum) << "step " << step;
  }
  const auto resumed = make(options);
  const auto from = whole->objective->state(), to = resumed->objective->state();
  for (size_t i = 0; i < from.size(); ++i) to[i].second.copy_(from[i].second);
  const auto next = energy_batch(*whole->objective, size, 6);
  EXPECT_EQ(whole->loss(next), resumed->loss(next));
}

TEST_F(EnergyTest, EvaluationNeitherReplaysNorKeeps) {
  const auto network = make({.steps = 2, .landscapes = 1, .alpha = 3, .replay_rows = 8});
  network->loss(energy_batch(*network->objective, size, 0));
  const auto before = network->objective->state()[2].second.clone();
  network->decoder->eval();
  const torch::NoGradGuard no_grad;
  network->loss(energy_batch(*network->objective, size, 1));
  EXPECT_TRUE(at::equal(network->objective->state()[2].second, before));
}

TEST_F(EnergyTest, DrawsAreThoseOfTheHostsGeneratorOnAnyDevice) {
  const Random site = Random(0x123456789abcdef0, 2).fork("noise");
  const auto rows = at::tensor({int64_t{0}, int64_t{3}, int64_t{1} << 40}, at::kLong);
  EXPECT_TRUE(at::equal(uniform_rows_composed(site, rows, 10, 3), uniform_rows(site, rows, 10, 3)));
  EXPECT_TRUE(at::allclose(normal_rows_composed(site, rows, 10, 3), normal_rows(site, rows, 10, 3), 1e-5, 1e-6));
  EXPECT_TRUE(at::equal(normal_rows(site, rows, 13).narrow(1, 3, 10), normal_rows(site, rows, 10, 3)));
  EXPECT_EQ(normal_rows(site, rows, 5)[1][4].item<float>(), site.fork(uint64_t{3}).normal_block(1)[0]);
  const auto many = normal_rows(site, rows, 40000);
  EXPECT_NEAR(many.mean().item<double>(), 0, 0.02);
  EXPECT_NEAR(many.std().item<double>(), 1, 0.02);
}

TEST_F(EnergyTest, FlopsCountWhatADescentAdds) {
  const auto per_token = [&](const EnergyOptions& o) {
    const auto network = make(o);
    return flops_per_token(*network->objective, *network->decoder, size.length);
  };
  const auto plain = make({})->decoder->flops_per_token(size.length), head = 2.0 * 8 * 128, blocks = plain / 3 - head;
  EXPECT_DOUBLE_EQ(per_token({.steps = 1, .landscapes = 1}), 9 * blocks + 5 * head);
  EXPECT_DOUBLE_EQ(per_token({}), 18 * blocks + 10 * head);
  EXPECT_DOUBLE_EQ(per_token({.steps = 3, .landscapes = 1, .detach = false}), (3 + 4 + 6) * blocks + 10 * head);
  EXPECT_DOUBLE_EQ(per_token({.replay_rows = 8}), 1.5 * (18 * blocks + 10 * head));
}

TEST_F(EnergyTest, EveryStepThatIsDifferentiatedAgainIsKept) {
  const auto kept = [&](const EnergyOptions& o) {
    const auto network = make(o);
    return network->objective->work(*network->decoder, 4, size.length, 4).kept_bytes;
  };
  const auto plain = make({})->decoder->work(4, size.length, 4).kept_bytes;
  const auto one = kept({.steps = 1, .landscapes = 1}), two = kept({.steps = 2, .landscapes = 1}),
             three = kept({.steps = 3, .landscapes = 1});
  EXPECT_GT(two - one, 2 * plain);
  EXPECT_DOUBLE_EQ(three - two, two - one);
  EXPECT_DOUBLE_EQ(kept({.steps = 2, .landscapes = 2}) - two, plain);
  EXPECT_DOUBLE_EQ(kept({.steps = 3, .landscapes = 1, .detach = false}), one) << "the last step alone";
  EXPECT_DOUBLE_EQ(kept({.steps = 3, .landscapes = 1, .detach = false, .truncate = false}), three);
  EXPECT_DOUBLE_EQ(kept({.replay_rows = 8}), 1.5 * kept({}));
}

TEST_F(EnergyTest, WhatDoesNotGoTogetherIsRefusedWithTheMend) {
  using testing::expect_error;
  expect_error(ExitCode::usage, "landscapes = 2 is more than the 1 steps", [&] { make({.steps = 1}); });
  expect_error(ExitCode::usage, "steps_min is more than steps", [&] { make({.steps = 2, .steps_min = 3}); });
  expect_error(ExitCode::usage, "raise it, or set replay_rows = 0", [&] { make({.replay_rows = 8, .replay_share = 0.1}); });
  expect_error(ExitCode::usage, "does not go with data.document_mask", [] {
    Energy({.replay_rows = 8}, {.length = 4, .tokenizer_size = 7, .document_mask = true, .rows_per_step = 4});
  });
  const auto decoder = find_architecture(Section()).offers(Section(), 1);
  EXPECT_NE(misfit(Energy::needs({}), decoder)->find("energy_decoder"), std::string::npos);
}

}  // namespace
}  // namespace lacuna
