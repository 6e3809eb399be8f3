// masked_language and position on a fully visible decoder against plain PyTorch in double precision: see make_bidirectional.py.
#include <gtest/gtest.h>

#include <set>

#include "objectives/masked_language.h"
#include "objectives/position.h"
#include "tests/golden/golden_file.h"
#include "tests/support/network.h"

namespace lacuna {
namespace {

using testing::GoldenFile;
using testing::relative_error;

constexpr int64_t kVocabulary = 61, kLength = 16;

at::Tensor real_rows(const at::Tensor& ours, const at::Tensor& theirs) { return ours.narrow(0, 0, theirs.size(0)); }

std::unique_ptr<Objective> make_objective(const std::string& name) {
  const RowContext context{.length = kLength, .tokenizer_size = name == "position" ? kVocabulary : kVocabulary - 1};
  if (name == "position") return std::make_unique<Position>(PositionOptions{}, context);
  return std::make_unique<MaskedLanguage>(MaskedLanguageOptions{}, context);
}

class BidirectionalGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(BidirectionalGolden, LossAndEveryGradient) {
  const GoldenFile golden("tests/golden/" + GetParam() + ".safetensors");
  const auto objective = make_objective(GetParam());
  const auto mesh = make_self_mesh();
  ParameterTable table;
  auto shape = testing::gpt2_shape();
  shape.visibility = Visibility::full;
  const ModelContext context{.mesh = *mesh,
                             .parameters = table,
                             .vocabulary_size = kVocabulary,
                             .max_length = kLength + (objective->needs().withheld_positions ? 1 : 0),
                             .seed = 1};
  Decoder network(shape, context);
  objective->build(context, network);
  auto parameters = table.list(network);
  for (auto& own : table.list(*objective)) parameters.push_back(std::move(own));

  const auto names = golden.names("initial/");
  std::set<std::string> ours;
  for (auto& p : parameters) {
    const torch::NoGradGuard no_grad;
    ours.insert(p.name);
    const auto value = golden["initial/" + p.name];
    p.value.fill_(0.5);  // what stays in the padding must not count
    real_rows(p.value, value).copy_(value);
  }
  EXPECT_EQ(ours, std::set<std::string>(names.begin(), names.end()));

  Batch batch;
  batch.tokens = golden["tokens"];
  batch.targets = golden["targets"];
  batch.weights = golden["weights"];
  batch.predicted = golden["predicted"];
  if (objective->needs().withheld_positions) batch.positions = golden["positions"];
  const auto loss = objective->loss(network, batch).sum;
  const double expected = golden["loss"].item<double>();
  EXPECT_NEAR(loss.item<double>(), expected, 1e-5 * expected);
  loss.backward();
  for (const auto& p : parameters) {
    const auto gradient = golden["gradient/" + p.name];
    ASSERT_TRUE(p.value.grad().defined()) << p.name;
    if (p.name.ends_with("key.bias")) {  // zero but for rounding: the softmax takes it out
      EXPECT_LT(p.value.grad().abs().max().item<double>(), 1e-4) << p.name;
    } else {
      EXPECT_LT(relative_error(real_rows(p.value.grad(), gradient), gradient), 1e-5) << p.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Objectives, BidirectionalGolden, ::testing::Values("masked_language", "position"),
                         [](const auto& tested) { return tested.param; });

}  // namespace
}  // namespace lacuna
