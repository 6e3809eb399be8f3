// Memory and time of layouts that are not here: known figures of measured runs, and what must grow or shrink with what.
#include "launch/cost_model.h"

#include <gtest/gtest.h>

#include "data/tokenizer/tokenizer.h"
#include "launch/dry_run.h"
#include "launch/peak.h"
#include "tests/support/expect_error.h"
#include "trainer/config/to_toml.h"

namespace lacuna {
namespace {

constexpr char kGpt2[] = R"(
[run]
steps = 10
[batch]
global_size = 64
micro_size = 64
sequence_length = 1024
[architecture]
num_layers = 12
hidden_size = 768
num_heads = 12
activation = "gelu_tanh"
[precision]
compute = "bf16"
[checkpoint]
every = 0
)";

// A dry run of kGpt2 over `world` GPUs, with some keys set otherwise.
struct Planned {
  explicit Planned(int world, const std::vector<std::string>& sets = {}, int64_t vocabulary_size = 50257)
      : experiment(read_experiment_text(kGpt2, "test.toml", "/", sets)),
        layout(lay_out(experiment, world, Purpose::elsewhere)),
        mesh(make_planned_mesh(layout.world, layout.tensor)),
        samples{.tokenizer = make_tokenizer("bytes", ""), .vocabulary_size = vocabulary_size},
        objective(make_objective(experiment, samples)),
        network(make_network(experiment, samples, *objective, *mesh)) {}

  MemoryEstimate memory() const { return estimate_memory(experiment, layout, *objective, *network, samples); }
  StepCost cost(const std::string& machine = "h200") const {
    return predict(cost_of(experiment, layout, *objective, *network), find_rates(machine));
  }
  double traffic(const std::string& axis) const {
    for (const auto& one : cost().traffic) {
      if (one.name == axis) return one.bytes;
    }
    return 0;
  }

  Experiment experiment;
  Layout layout;
  std::unique_ptr<Mesh> mesh;
  SampleSpec samples;
  std::unique_ptr<Objective> objective;
  std::unique_ptr<Network> network;
};

TEST(CostModel, AGpuNeedNotBeHereForADryRun) {
  EXPECT_EQ(Planned(1).layout.device, at::kCUDA);
  EXPECT_EQ(Planned(1, {"run.device=cpu", "precision.compute=fp32"}).layout.device, at::kCPU);
  EXPECT_EQ(Planned(1, {"precision.compute=fp32"}).layout.device, at::kCUDA);
}

TEST(CostModel, SharesOfTheWorkOfGpt2) {
  const auto work = Planned(1).network->architecture->work(64, 1024, 2);
  const double block = 6.0 * 65536 * 12 * 768 * 768, head = 6.0 * 65536 * 768 * 50304;
  EXPECT_DOUBLE_EQ(model_flops(work), 12 * block + head + 6.0 * 65536 * 12 * 768 * 1024);
  EXPECT_DOUBLE_EQ(Planned(1).network->architecture->flops_per_token(1024), model_flops(work) / 65536);
  EXPECT_DOUBLE_EQ(Planned(4, {"parallel.tensor=4"}).network->architecture->flops_per_token(1024), model_flops(work) / 65536)
      << "of the whole network, however it is split";
}

// One H100, GPT-2 pieces, 2026-11-25; tests/bench/gpu/PREDICTED.md.
TEST(CostModel, ForetellsWhatWasMeasured) {
  struct Measured {
    std::vector<std::string> sets;
    double milliseconds, gib;
  };
  const auto shape = [](const char* rows, const char* layers, const char* width, const char* heads) {
    return std::vector<std::string>{std::string("batch.global_size=") + rows, std::string("batch.micro_size=") + rows,
                                    std::string("architecture.num_layers=") + layers,
                                    std::string("architecture.hidden_size=") + width,
                                    std::string("architecture.num_heads=") + heads};
  };
  const std::vector<Measured> all{{shape("64", "12", "768", "12"), 109.80, 22.2},
                                  {shape("32", "24", "1024", "16"), 156.37, 32.1},
                                  {shape("16", "36", "1280", "20"), 167.36, 37.6},
                                  {shape("16", "48", "1600", "25"), 320.04, 65.8}};
  for (const auto& [sets, milliseconds, gib] : all) {
    const Planned planned(1, sets);
    EXPECT_NEAR(1e3 * planned.cost("h100").total(), milliseconds, 0.1 * milliseconds) << sets[3];
    EXPECT_NEAR(planned.memory().total() / (1024.0 * 1024 * 1024), gib, 0.1 * gib) << sets[3];
  }
  // The first of them on two.
  const auto milliseconds = [](const std::vector<std::string>& sets) { return 1e3 * Planned(2, sets).cost("h100").total(); };
  EXPECT_NEAR(milliseconds({"batch.global_size=128"}), 115.7, 11.57);
  EXPECT_NEAR(milliseconds({"batch.global_size=128", "parallel.shard_optimizer=true"}), 115.2, 11.52);
  EXPECT_NEAR(milliseconds({"parallel.tensor=2"}), 83.6, 8.36);
}

TEST(CostModel, MoreTensorRanksTakeLessMemoryOfEach) {
  double before = Planned(1).memory().total();
  for (const char* tensor : {"2", "4"}) {
    const Planned planned(std::stoi(tensor), {std::string("parallel.tensor=") + tensor});
    const auto memory = planned.memory();
    EXPECT_LT(memory.total(), 0.8 * before) << tensor;
    EXPECT_LT(memory["gradients"], 0.6 * 2 / std::stod(tensor) * Planned(1).memory()["gradients"]);
    before = memory.total();
  }
}

TEST(CostModel, RecomputationTakesLessMemory) {
  double before = Planned(1).memory()["activations"];
  for (const char* recompute : {"norms", "feed_forward", "block"}) {
    const auto now = Planned(1, {std::string("parallel.recompute=") + recompute}).memory()["activations"];
    EXPECT_LT(now, 0.95 * before) << recompute;
    before = now;
  }
}

TEST(CostModel, MemoryGrowsWithRowsOfAMicroBatchAlone) {
  const double whole = Planned(1).memory().total(), half = Planned(1, {"batch.micro_size=32"}).memory().total();
  EXPECT_LT(half, whole);
  EXPECT_GT(whole, 1.5 * half);
  EXPECT_EQ(Planned(1, {"batch.global_size=128"}).memory().total(), whole);
  EXPECT_EQ(Planned(2, {"batch.global_size=128"}).memory()["activations"], Planned(1).memory()["activations"]);
}

// Two masks a recording make two rows of it.
TEST(CostModel, AnObjectiveSaysWhatItMakesOfAMicroBatch) {
  const auto activations = [](const std::string& two_masks) {
    const auto e = read_experiment_text(R"(
[run]
steps = 1
[batch]
global_size = 8
sequence_length = 64
[objective]
kind = "masked_spectrogram"
[architecture]
kind = "patch_encoder"
patch_mels = 16
patch_frames = 2
)",
                                        "test.toml", "/", {"objective.two_masks=" + two_masks});
    const Layout layout{.world = 1,
                        .data = 1,
                        .tensor = 1,
                        .steps = 1,
                        .row_length = 32,
                        .rows_per_rank = 8,
                        .micro_size = 8,
                        .tokens_per_step = 256,
                        .device = at::kCPU};
    const SampleSpec frames{.tokenizer = nullptr, .frames = {.bins = 16, .labels = {}}};
    const auto mesh = make_planned_mesh(1, 1);
    const auto objective = make_objective(e, frames);
    const auto network = make_network(e, frames, *objective, *mesh);
    EXPECT_EQ(cost_of(e, layout, *objective, *network).work.attention.front().rows, two_masks == "true" ? 16 : 8);
    return estimate_memory(e, layout, *objective, *network, frames)["activations"];
  };
  EXPECT_NEAR(activations("true"), 2 * activations("false"), 0.01 * activations("true"));
}

TEST(CostModel, AStepTakesAsLongAsItsMicroBatches) {
  const auto one = Planned(1).cost(), four = Planned(1, {"batch.global_size=256"}).cost();
  EXPECT_NEAR(four.products, 4 * one.products, 1e-9);
  EXPECT_EQ(four.optimizer, one.optimizer);
  EXPECT_EQ(one.communication(), 0);
}

TEST(CostModel, MessagesFollowTheLayout) {
  const double gradients = Planned(1).memory()["gradients"];
  EXPECT_NEAR(Planned(2, {"batch.global_size=128"}).traffic("data"), gradients, 1);
  EXPECT_NEAR(Planned(8, {"batch.global_size=512"}).traffic("data"), 2 * 7.0 / 8 * gradients, 1);
  EXPECT_EQ(Planned(2, {"parallel.tensor=2"}).traffic("data"), 0);
  // Twice forward and twice backward in each of 12 layers, the embedding and the states: 50 times the residual stream, and beside
  // it what the split loss exchanges. Where the stream is split, norms are gathered once more.
  const double stream = 2.0 * 65536 * 768;
  EXPECT_NEAR(Planned(2, {"parallel.tensor=2", "parallel.sequence=false"}).traffic("tensor"), 50 * stream, 0.01 * 50 * stream);
  EXPECT_NEAR(Planned(2, {"parallel.tensor=2", "parallel.sequence=true"}).traffic("tensor"), 62 * stream, 0.01 * 62 * stream);
}

TEST(CostModel, WhatSpansMachinesIsSlower) {
  const auto rates = find_rates("h200");
  EXPECT_GT(sum_seconds(1e9, 16, 1, rates), 3 * sum_seconds(1e9, 8, 1, rates));
  EXPECT_GT(sum_seconds(1e9, 8, 2, rates), 3 * sum_seconds(1e9, 8, 1, rates)) << "every second rank of 16";
  EXPECT_EQ(sum_seconds(1e9, 1, 1, rates), 0);
}

TEST(CostModel, AFasterMachineIsFaster) {
  auto rates = find_rates("h200");
  const Planned planned(1);
  const auto input = cost_of(planned.experiment, planned.layout, *planned.objective, *planned.network);
  const double before = predict(input, rates).total();
  for (auto& rate : rates.product_tflops) rate *= 2;
  EXPECT_LT(predict(input, rates).products, planned.cost().products);
  rates.copy_gbytes *= 2;
  EXPECT_LT(predict(input, rates).total(), before);
}

TEST(Peak, IsPromisedByName) {
  const auto tflops = [](const char* gpu, const PrecisionOptions& precision) {
    return promised_flops(gpu, precision).value_or(0) / 1e12;
  };
  EXPECT_DOUBLE_EQ(tflops("NVIDIA H200", {.compute = Compute::bf16}), 989);
  EXPECT_DOUBLE_EQ(tflops("NVIDIA H100 80GB HBM3", {.compute = Compute::bf16}), 989);
  EXPECT_DOUBLE_EQ(tflops("NVIDIA H200", {.compute = Compute::fp32, .tf32 = true}), 494.5);
  EXPECT_DOUBLE_EQ(tflops("NVIDIA H200", {}), 66.9);
  EXPECT_EQ(promised_flops("Some GPU", {.compute = Compute::bf16}), std::nullopt);
}

TEST(MachineRates, ReadsWhatItWrites) {
  auto rates = find_rates("h200");
  const auto again = read_machines("[here]\n" + to_toml(fields_of(rates)), "test.toml");
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].first, "here");
  auto copy = again[0].second;
  EXPECT_EQ(to_toml(fields_of(copy)), to_toml(fields_of(rates)));
}

TEST(MachineRates, SaysWhatThereIs) {
  testing::expect_error(ExitCode::usage, "h200", [] { find_rates("no-such-machine"); });
  testing::expect_error(ExitCode::usage, "as many values as widths",
                        [] { read_machines("[a]\nwidths = [1, 2]\nproduct_tflops = [3]\n", "test.toml"); });
  testing::expect_error(ExitCode::usage, "copy_gbytes", [] { read_machines("[a]\ncopy_gbyte = 3.0\n", "test.toml"); });
}

}  // namespace
}  // namespace lacuna
