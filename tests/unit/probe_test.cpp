#include "trainer/evaluate/probe.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <map>

#include "data/synthetic_frames.h"
#include "objectives/masked_spectrogram.h"
#include "tests/support/expect_error.h"
#include "tests/support/patch_network.h"
#include "trainer/evaluate/borrowed_network.h"
#include "trainer/evaluate/frame_states.h"
#include "trainer/evaluate/labelled_frames.h"
#include "trainer/evaluate/readout.h"

namespace lacuna {
namespace {

using testing::expect_error;

constexpr int64_t kFrames = 40;

PatchEncoderOptions encoder() {
  auto options = testing::tiny_patch_encoder();
  options.patch_mels = 8;
  options.patch_frames = 4;
  return options;
}
PatchGrid grid() { return {.bins = 16, .frames = kFrames, .channels = 1, .patch_bins = 8, .patch_frames = 4}; }
MaskedSpectrogramOptions masked() {
  MaskedSpectrogramOptions options;
  options.num_masked = 10;
  return options;
}
RowContext rows() {
  RowContext context;
  context.length = kFrames;
  context.grid = grid();
  return context;
}

// A small patch_encoder on tones and chirps of four classes.
struct Judged {
  explicit Judged(int64_t size = 64, double noise = 0.3) {
    corpora.push_back(std::make_shared<SyntheticFrames>(SyntheticFramesOptions{.size = size, .noise = noise}));
    options.probe.epochs = 3;
  }
  EvaluationContext context(int64_t micro_size = 16) {
    return {.objective = objective,
            .architecture = *network->encoder,
            .mesh = *mesh,
            .corpora = corpora,
            .rows = 10,
            .micro_size = micro_size,
            .seed = 1,
            .length = kFrames,
            .grid = grid(),
            .options = options,
            .parameters = &network->parameters};
  }
  std::map<std::string, nlohmann::ordered_json> run(const Evaluation& evaluation, int64_t micro_size = 16) {
    std::map<std::string, nlohmann::ordered_json> lines;
    const auto found = evaluation.run(context(micro_size));
    for (const auto& line : found) lines[line["arm"].get<std::string>()] = line;
    EXPECT_EQ(lines.size(), found.size());
    return lines;
  }
  at::Tensor values() const {
    std::vector<at::Tensor> all;
    for (const auto& p : network->parameters) all.push_back(p.value.detach().flatten());
    return at::cat(all);
  }

  std::unique_ptr<Mesh> mesh = make_self_mesh();
  MaskedSpectrogram objective{masked(), rows()};
  std::unique_ptr<testing::PatchNetwork> network = testing::make_patch_network(encoder(), grid(), *mesh, &objective);
  std::vector<std::shared_ptr<const Corpus>> corpora;
  EvaluateOptions options;
};

TEST(Readout, TellsClassesThatCanBeToldAndNoOthers) {
  at::Tensor x, y;
  {
    auto generator = at::detail::createCPUGenerator(1);
    y = at::tensor(std::vector<int64_t>(300)).random_(0, 3, generator);
    x = at::randn({2, 300, 8}, generator, at::kDouble);
  }
  auto clear = x.clone();
  for (int64_t i = 0; i < 300; ++i) clear[1][i][y[i].item<int64_t>()] += 6;
  const auto share = [&](const at::Tensor& told) { return told.eq(y.narrow(0, 200, 100)).to(at::kDouble).mean().item<double>(); };
  const auto part = [](const at::Tensor& t, int64_t first, int64_t n) { return t.narrow(1, first, n); };
  const auto labels = y.narrow(0, 0, 200);
  for (const auto readout : {Readout::linear, Readout::mlp, Readout::weighted}) {
    EXPECT_GT(share(read_out(readout, part(clear, 0, 200), labels, part(clear, 200, 100), 3)), 0.95);
    if (readout == Readout::mlp) continue;  // the slow one
    EXPECT_LT(share(read_out(readout, part(x, 0, 200), labels, part(x, 200, 100), 3)), 0.5);
  }
  // What the first layer knows the weighted sum finds, and the last layer alone does not.
  const auto turned = clear.flip(0);
  EXPECT_GT(share(read_out(Readout::weighted, part(turned, 0, 200), labels, part(turned, 200, 100), 3)), 0.95);
  EXPECT_LT(share(read_out(Readout::linear, part(turned, 0, 200), labels, part(turned, 200, 100), 3)), 0.5);
  for (const int64_t k : {1, 5, 20}) {
    EXPECT_GT(share(nearest_class(clear[1].narrow(0, 0, 200), labels, clear[1].narrow(0, 200, 100), k, 3)), 0.85);
  }
}

TEST(Readout, NearestOfEquals) {
  const auto fit = at::tensor({1.0, 0.0, 0.0, 1.0, -1.0, -1.0}, at::kDouble).view({3, 2}), test = fit.narrow(0, 0, 1) * 1.01;
  const auto labels = at::tensor({2, 1, 0}, at::kLong);
  for (const int64_t k : {1, 3, 20}) EXPECT_EQ(nearest_class(fit, labels, test, k, 3).item<int64_t>(), 2);
}

TEST(LabelledFrames, HalvesOfEachClass) {
  Judged judged;
  const auto read = read_labelled(judged.context());
  EXPECT_EQ(read.label, "class");
  EXPECT_EQ(read.fit.size() + read.test.size(), 64u);
  std::map<int64_t, int64_t> counts;
  for (const auto& document : read.fit) ++counts[document.label];
  for (const auto& document : read.test) --counts[document.label];
  for (const auto& [label, difference] : counts) EXPECT_TRUE(difference == 0 || difference == 1);
  const auto drawn = draw_per_class(pointers(read.fit), 3, 5), again = draw_per_class(pointers(read.fit), 3, 5);
  EXPECT_EQ(drawn.size(), 12u);
  EXPECT_EQ(drawn, again);
  EXPECT_NE(drawn, draw_per_class(pointers(read.fit), 3, 6));
  judged.options.probe.label = "digit";
  expect_error(ExitCode::usage, "has the labels class", [&] { read_labelled(judged.context()); });
}

TEST(FrameStates, PaddingAndMicroBatchesChangeNothing) {
  Judged judged;
  const auto read = read_labelled(judged.context());
  const auto documents = pointers(read.fit);
  const auto states = document_states(judged.context(16), documents);
  EXPECT_EQ(states.sizes(), (std::vector<int64_t>{3, static_cast<int64_t>(documents.size()), 32}));
  EXPECT_TRUE(at::allclose(states, document_states(judged.context(3), documents), 1e-5, 1e-6));
  const auto features = document_features(documents, 16);
  const auto& frames = documents[2]->samples[0].frames;
  double sum = 0;
  for (size_t i = 5; i < frames.size(); i += 16) sum += frames[i];
  EXPECT_NEAR(features[0][2][5].item<double>(), sum / (static_cast<double>(frames.size()) / 16), 1e-6);
}

TEST(BorrowedNetwork, ComesBackBitForBit) {
  Judged judged;
  const auto before = judged.values();
  {
    const auto context = judged.context();
    BorrowedNetwork network(context);
    network.reset(9);
    const auto other = judged.values();
    EXPECT_FALSE(at::equal(other, before));
    network.reset(9);
    EXPECT_TRUE(at::equal(judged.values(), other));
    network.restore();
    EXPECT_TRUE(at::equal(judged.values(), before));
    const auto read = read_labelled(context);
    network.train_and_tell(pointers(read.fit), pointers(read.test), 4, 1);
    EXPECT_FALSE(at::equal(judged.values(), before));
  }
  EXPECT_TRUE(at::equal(judged.values(), before));
  for (const auto& p : judged.network->parameters) EXPECT_FALSE(p.value.grad().defined()) << p.name;
}

TEST(BorrowedNetwork, LearnsLabels) {
  Judged judged(120, 0.1);
  judged.options.probe.epochs = 30;
  judged.options.probe.learning_rate = 3e-3;
  const auto context = judged.context();
  const auto read = read_labelled(context);
  const auto test = pointers(read.test);
  BorrowedNetwork network(context);
  const auto told = network.train_and_tell(pointers(read.fit), test, 4, 1);
  EXPECT_GT(told.eq(labels_of(test)).to(at::kDouble).mean().item<double>(), 0.8);
}

TEST(Probe, FourArmsWithIntervalsAndConfusion) {
  Judged judged;
  for (const auto& lines : {judged.run(ProbeEvaluation()), judged.run(KnnEvaluation())}) {
    ASSERT_EQ(lines.size(), 4u);
    for (const auto* arm : {"pretrained", "random", "features", "scratch"}) {
      const auto& line = lines.at(arm);
      EXPECT_EQ(line["examples"].get<int64_t>() + line["fitted"].get<int64_t>(), 64);
      EXPECT_EQ(line["chance"], 0.25);
      EXPECT_LE(line["accuracy_low"], line["accuracy"]);
      EXPECT_GE(line["accuracy_high"], line["accuracy"]);
      int64_t all = 0, right = 0;
      for (int64_t i = 0; i < 4; ++i) {
        for (int64_t j = 0; j < 4; ++j) {
          const auto count = line["confusion"]["counts"][static_cast<size_t>(i)][static_cast<size_t>(j)].get<int64_t>();
          all += count;
          right += i == j ? count : 0;
        }
      }
      EXPECT_EQ(all, line["examples"]);
      EXPECT_DOUBLE_EQ(static_cast<double>(right) / static_cast<double>(all), line["accuracy"]);
    }
    EXPECT_GT(lines.at("features")["accuracy"], 0.5);
  }
}

TEST(Finetune, DrawsAreThoseOfTheSeeds) {
  Judged judged;
  judged.options.probe.seeds = 2;
  judged.options.probe.labels_per_class = 4;
  const auto lines = judged.run(FinetuneEvaluation()), again = judged.run(FinetuneEvaluation(), 5);
  ASSERT_EQ(lines.size(), 4u);
  for (const auto& [arm, line] : lines) {
    EXPECT_EQ(line["fitted"], 16);
    EXPECT_EQ(line["draws"].size(), 2u);
    EXPECT_NEAR(line["accuracy"].get<double>(), (line["draws"][0].get<double>() + line["draws"][1].get<double>()) / 2, 1e-9);
    EXPECT_EQ(line["draws"], again.at(arm)["draws"]) << arm;
  }
}

TEST(LeaveOneGroupOut, EveryGroupIsJudgedOnce) {
  Judged judged;
  judged.options.probe.group = "class";  // of which nothing can be known without having seen it
  const auto lines = judged.run(LeaveOneGroupOutEvaluation());
  ASSERT_EQ(lines.size(), 4u);
  for (const auto& [arm, line] : lines) {
    EXPECT_EQ(line["examples"], 64);
    EXPECT_LT(line["accuracy"], 0.1) << arm;
    EXPECT_EQ(line["slices"]["class"].size(), 4u);
  }
}

TEST(Probe, SaysWhatItMisses) {
  EvaluationPlan plan{.offers = {}, .options = {}, .has_corpora = true, .tokenizer = nullptr, .length = 40};
  EXPECT_NE(ProbeEvaluation().misfit(plan)->find("reads texts"), std::string::npos);
  plan.offers.modality = "frames";
  EXPECT_FALSE(ProbeEvaluation().misfit(plan));
  EXPECT_NE(LeaveOneGroupOutEvaluation().misfit(plan)->find("evaluate.probe.group"), std::string::npos);
  plan.has_corpora = false;
  EXPECT_NE(KnnEvaluation().misfit(plan)->find("data.validation"), std::string::npos);
}

}  // namespace
}  // namespace lacuna
