// Objectives that predict something else than the next token, against plain PyTorch in double precision: see objectives/make_golden.py.
#include <gtest/gtest.h>

#include <map>

#include "objectives/catalog.h"
#include "tests/golden/compare.h"

namespace lacuna {
namespace {

using testing::GoldenFile;

constexpr int64_t kLength = 8, kTokens = 13;

struct Case {
  std::string file, kind, network;
};

class ObjectivesGolden : public ::testing::TestWithParam<Case> {};

// A batch of every field that the file has.
Batch batch_of(const GoldenFile& golden) {
  Batch batch;
  const std::map<std::string, at::Tensor*> fields{{"tokens", &batch.tokens},
                                                  {"targets", &batch.targets},
                                                  {"weights", &batch.weights},
                                                  {"predicted", &batch.predicted},
                                                  {"positions", &batch.positions},
                                                  {"bidirectional", &batch.bidirectional},
                                                  {"future_targets", &batch.future_targets},
                                                  {"future_weights", &batch.future_weights}};
  for (const auto& name : golden.names("batch/")) *fields.at(name) = golden["batch/" + name];
  if (batch.bidirectional.defined()) batch.bidirectional = batch.bidirectional.to(at::kBool);
  batch.target_count = batch.weights.sum().item<double>();
  return batch;
}

TEST_P(ObjectivesGolden, LossAndEveryGradient) {
  const GoldenFile golden("tests/golden/objectives/" + GetParam().file + ".safetensors");
  auto section = Section().with("kind", '"' + GetParam().kind + '"');
  if (!GetParam().network.empty()) {
    section = section.with("network", '"' + GetParam().network + '"')
                  .with("horizon", "3")
                  .with("decay", "0.8")
                  .with("num_layers", "2")
                  .with("pseudo_length", "4")
                  .with("num_heads", "2");
  }
  const auto objective = find_objective(section).make(section, {.length = kLength, .tokenizer_size = kTokens});
  const auto needs = objective->needs();
  const auto mesh = make_self_mesh();
  ParameterTable table;
  const ModelContext context{.mesh = *mesh,
                             .parameters = table,
                             .vocabulary_size = kTokens + needs.num_special_tokens,
                             .max_length = kLength + (needs.withheld_positions ? 1 : 0),
                             .seed = 1};
  Decoder decoder({.visibility = needs.visibility.front(), .num_layers = 1, .hidden_size = 16, .num_heads = 2, .feed_forward_size = 24},
                  context);
  objective->build(context, decoder);
  auto parameters = table.list(decoder);
  for (auto& p : table.list(*objective)) {
    p.name = "objective." + p.name;
    parameters.push_back(std::move(p));
  }
  testing::set_initial_values(parameters, golden);

  const auto loss = objective->loss(decoder, batch_of(golden));
  const double expected = golden["loss"].item<double>();
  EXPECT_NEAR(loss.sum.item<double>(), expected, 1e-5 * expected);
  loss.sum.backward();
  testing::expect_gradients(parameters, golden);
}

INSTANTIATE_TEST_SUITE_P(All, ObjectivesGolden,
                         ::testing::Values(Case{"masked_language", "masked_language", ""}, Case{"position", "position", ""},
                                           Case{"prefix_language", "prefix_language", ""},
                                           Case{"future_decoder", "future_token", "decoder"},
                                           Case{"future_heads", "future_token", "heads"},
                                           Case{"future_chained", "future_token", "chained"},
                                           Case{"future_medusa", "future_token", "medusa"},
                                           Case{"future_hydra", "future_token", "hydra"}),
                         [](const auto& tested) { return tested.param.file; });

}  // namespace
}  // namespace lacuna
