// What every objective owes on every architecture that can carry it. The pairs come from the catalogs, so a new line there is
// held to this contract the moment it is added.
#include <ATen/ops/equal.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <optional>
#include <sstream>

#include "objectives/catalog.h"
#include "tests/support/expect_error.h"
#include "tests/support/update.h"
#include "trainer/model/catalog.h"
#include "trainer/model/flat_storage.h"
#include "trainer/optim/adamw.h"

namespace lacuna {
namespace {

constexpr int64_t kTokenizerSize = 61, kLength = 16, kRows = 4;
constexpr int32_t kEnd = kTokenizerSize - 1;

// The keys that every architecture takes.
Section tiny() {
  return Section().with("num_layers", "2").with("hidden_size", "32").with("num_heads", "4").with("feed_forward_size", "64");
}

struct Pair {
  const ObjectiveEntry* objective;
  const ArchitectureEntry* architecture;
  Section section;     // of the architecture, with the keys that make the pair fit
  std::string reason;  // why it does not fit; empty where it does
};

// As `lacuna inspect --catalog` finds the keys: the default first, then each other visibility.
Pair try_pair(const ObjectiveEntry& objective, const ArchitectureEntry& architecture) {
  Pair pair{&objective, &architecture, tiny(), ""};
  for (const std::string visibility : {"", "full", "prefix"}) {
    const auto section = visibility.empty() ? tiny() : tiny().with("visibility", '"' + visibility + '"');
    std::optional<std::string> reason;
    try {
      reason = misfit(objective.needs(Section()), architecture.offers(section, 1));
    } catch (const Error&) {
      continue;  // an architecture without this key
    }
    if (!reason) return {&objective, &architecture, section, ""};
    if (pair.reason.empty()) pair.reason = *reason;
  }
  if (pair.reason.empty()) pair.reason = "no reason was given";
  return pair;
}

std::vector<Pair> fitting_pairs() {
  std::vector<Pair> pairs;
  for (const auto& objective : objectives()) {
    for (const auto& architecture : architectures()) {
      if (auto pair = try_pair(objective, architecture); pair.reason.empty()) pairs.push_back(std::move(pair));
    }
  }
  return pairs;
}

// A stretch of a synthetic stream with two documents. Rows begin with different tokens: no two ask for different
// continuations of one beginning.
Sample sample(int64_t length, int64_t row) {
  Random random(5, static_cast<uint64_t>(row));
  Sample s{.position = 100 + row, .tokens = {}, .document_starts = {0, static_cast<int32_t>(length / 2 + row)}};
  for (int64_t i = 0; i < length; ++i) s.tokens.push_back(static_cast<int32_t>(random.below(kEnd)));
  s.tokens[0] = static_cast<int32_t>(row);
  s.tokens[static_cast<size_t>(s.document_starts[1] - 1)] = kEnd;
  return s;
}

// One network with its objective, as a training run of one rank has them.
struct TestRun {
  explicit TestRun(const Pair& pair) {
    objective = pair.objective->make(Section(), {.length = kLength, .tokenizer_size = kTokenizerSize, .end_token = kEnd});
    vocabulary_size = kTokenizerSize + objective->needs().num_special_tokens;
    architecture = pair.architecture->make(
        pair.section, {.mesh = *mesh, .parameters = table, .vocabulary_size = vocabulary_size, .max_length = kLength, .seed = 1});
    parameters = table.list(*architecture);
    storage = std::make_unique<FlatStorage>(parameters, 1);
    initialize(parameters, 1, 0, 1);
  }

  std::vector<Sample> samples() const {
    std::vector<Sample> all;
    for (int64_t row = 0; row < kRows; ++row) all.push_back(sample(objective->sample_length(), row));
    return all;
  }
  Batch prepare(const std::vector<Sample>& samples) const { return objective->prepare(samples, Random(1, 2)); }
  Batch batch() const { return prepare(samples()); }

  // The mean loss; its gradient is in the storage.
  double backward(const Batch& batch) {
    storage->zero_gradients();
    const auto sum = objective->loss(*architecture, batch).sum;
    (sum / batch.target_count).backward();
    return sum.item<double>() / batch.target_count;
  }
  at::Tensor states(const Batch& batch) {
    const torch::NoGradGuard no_grad;
    architecture->eval();
    return architecture->forward(batch).states;
  }

  std::unique_ptr<Mesh> mesh = make_self_mesh();
  ParameterTable table;
  std::unique_ptr<Objective> objective;
  std::unique_ptr<Architecture> architecture;
  std::vector<ParameterSpec> parameters;
  std::unique_ptr<FlatStorage> storage;
  int64_t vocabulary_size = 0;
};

std::map<std::string, at::Tensor> fields(const Batch& b) {
  std::map<std::string, at::Tensor> all{{"tokens", b.tokens},
                                        {"targets", b.targets},
                                        {"weights", b.weights},
                                        {"bidirectional", b.bidirectional},
                                        {"segments", b.segments},
                                        {"positions", b.positions},
                                        {"stream_positions", b.stream_positions},
                                        {"encoder_tokens", b.encoder_tokens},
                                        {"encoder_segments", b.encoder_segments},
                                        {"encoder_positions", b.encoder_positions}};
  std::erase_if(all, [](const auto& field) { return !field.second.defined(); });
  return all;
}

// Another token that stands for text.
int32_t other(int32_t token) { return (token + 1) % kEnd; }

class Contract : public ::testing::TestWithParam<Pair> {
 protected:
  TestRun run{GetParam()};
};

TEST_P(Contract, TheLossIsFiniteAndItsGradientReachesEveryParameter) {
  const auto loss = run.backward(run.batch());
  EXPECT_TRUE(std::isfinite(loss));
  EXPECT_NEAR(loss, std::log(static_cast<double>(run.vocabulary_size)), 0.3) << "a new network is nearly indifferent";
  for (const auto& p : run.parameters) {
    EXPECT_TRUE(p.value.grad().isfinite().all().item<bool>()) << p.name;
    EXPECT_TRUE(p.value.grad().ne(0).any().item<bool>()) << "no gradient reaches " << p.name;
  }
}

TEST_P(Contract, WeightsSumToTheTargetCount) {
  const auto batch = run.batch();
  EXPECT_EQ(batch.rows(), kRows);
  EXPECT_GT(batch.target_count, 0);
  EXPECT_EQ(batch.weights.sum(at::kDouble).item<double>(), batch.target_count);
}

TEST_P(Contract, SameSeedSameBits) {
  TestRun again(GetParam());
  const auto batch = run.batch(), repeated = again.batch();
  const auto expected = fields(batch), actual = fields(repeated);
  ASSERT_EQ(actual.size(), expected.size());
  for (const auto& [name, value] : expected) EXPECT_TRUE(at::equal(actual.at(name), value)) << name;
  EXPECT_EQ(run.backward(batch), again.backward(repeated));
  EXPECT_TRUE(at::equal(run.storage->gradients(), again.storage->gradients()));
}

TEST_P(Contract, ShuffledSamplesPermuteRowsAndNothingElse) {
  const auto samples = run.samples();
  const std::vector<int64_t> order{2, 0, 3, 1};
  std::vector<Sample> shuffled;
  for (const auto row : order) shuffled.push_back(samples[static_cast<size_t>(row)]);
  const auto batch = run.prepare(samples), moved = run.prepare(shuffled);
  EXPECT_EQ(moved.target_count, batch.target_count);
  const auto expected = fields(batch), actual = fields(moved);
  ASSERT_EQ(actual.size(), expected.size());
  for (const auto& [name, value] : expected) {
    EXPECT_TRUE(at::equal(actual.at(name), at::index_select(value, 0, at::tensor(order)))) << name;
  }
}

// influence == the declared rule: causal k <= q, prefix also within the mutually visible part, full everywhere.
TEST_P(Contract, AnInputReachesExactlyThePositionsThatMaySeeIt) {
  const auto batch = run.batch();
  const auto visibility = run.architecture->offers().visibility;
  const auto base = run.states(batch);
  for (int64_t k = 0; k < batch.length(); ++k) {
    auto changed = batch;
    changed.tokens = batch.tokens.clone();
    auto& token = changed.tokens.data_ptr<int32_t>()[k];
    token = other(token);
    const auto states = run.states(changed);
    for (int64_t q = 0; q < batch.length(); ++q) {
      const auto in_prefix = [&](int64_t t) { return batch.bidirectional.defined() && batch.bidirectional[0][t].item<bool>(); };
      const bool allowed =
          visibility == Visibility::full || k <= q || (visibility == Visibility::prefix && in_prefix(k) && in_prefix(q));
      EXPECT_EQ(!at::equal(states[0][q], base[0][q]), allowed) << "input " << k << ", state " << q;
    }
    for (int64_t row = 1; row < kRows; ++row)
      EXPECT_TRUE(at::equal(states[row], base[row])) << "input " << k << " of row 0, row " << row;
  }
}

TEST_P(Contract, WhatIsToBePredictedIsHiddenFromTheStateThatPredictsIt) {
  const auto samples = run.samples();
  const auto batch = run.prepare(samples);
  const auto base = run.states(batch);
  int64_t predictions = 0;
  for (size_t j = 0; j < samples[0].tokens.size(); ++j) {
    auto changed = samples;
    changed[0].tokens[j] = other(changed[0].tokens[j]);
    const auto other_batch = run.prepare(changed);
    const auto states = run.states(other_batch);
    for (int64_t q = 0; q < batch.length(); ++q) {
      const bool predicts = batch.weights[0][q].item<float>() > 0 && !at::equal(batch.targets[0][q], other_batch.targets[0][q]);
      predictions += predicts;
      if (!predicts) continue;
      EXPECT_TRUE(at::equal(states[0][q], base[0][q])) << "stored token " << j << " leaks into state " << q;
    }
  }
  EXPECT_GT(predictions, 0);
}

TEST_P(Contract, ATargetWithoutWeightChangesNothing) {
  auto batch = run.batch();
  batch.weights = batch.weights.clone();
  batch.weights.narrow(1, kLength / 2, 3).zero_();
  batch.target_count = batch.weights.sum(at::kDouble).item<double>();
  const auto loss = run.backward(batch);
  const auto gradients = run.storage->gradients().clone();

  batch.targets = batch.targets.clone();
  auto unweighted = batch.targets.narrow(1, kLength / 2, 3);
  unweighted.copy_(unweighted.add(1).remainder(kEnd));
  EXPECT_EQ(run.backward(batch), loss);
  EXPECT_TRUE(at::equal(run.storage->gradients(), gradients));
}

TEST_P(Contract, AnIndifferentHeadLosesTheLogarithmOfTheVocabulary) {
  const torch::NoGradGuard no_grad;
  int64_t tables = 0;
  for (auto& p : run.parameters) {  // the head, or the embedding that it shares: the tables over the padded vocabulary
    if (p.full_shape[0] != padded_vocabulary(run.vocabulary_size)) continue;
    p.value.zero_();
    ++tables;
  }
  ASSERT_GT(tables, 0);
  const auto batch = run.batch();
  const auto sum = run.objective->loss(*run.architecture, batch).sum.item<double>();
  EXPECT_NEAR(sum / batch.target_count, std::log(static_cast<double>(run.vocabulary_size)), 1e-5);
}

TEST_P(Contract, OneBatchIsLearntByHeart) {
  const auto batch = run.batch();
  AdamW optimizer({.weight_decay = 0}, *run.storage);
  double loss = 0;
  int64_t step = 0;
  do {
    loss = run.backward(batch);
    testing::update(optimizer, ++step, 1e-2, 1);
  } while (loss >= 0.05 && step < 400);
  EXPECT_LT(loss, 0.05) << "after " << step << " steps";
}

std::string name_of_pair(const ::testing::TestParamInfo<Pair>& info) {
  return std::string(info.param.objective->name) + "_on_" + std::string(info.param.architecture->name);
}
INSTANTIATE_TEST_SUITE_P(Catalog, Contract, ::testing::ValuesIn(fitting_pairs()), name_of_pair);

TEST(CatalogContract, EveryPairFitsOrSaysWhy) {
  for (const auto& objective : objectives()) {
    for (const auto& architecture : architectures()) {
      EXPECT_NE(try_pair(objective, architecture).reason, "no reason was given") << objective.name << " on " << architecture.name;
    }
  }
}

TEST(CatalogContract, EveryEntryIsPartOfAPairThatFits) {
  std::map<std::string_view, int> fits;
  for (const auto& pair : fitting_pairs()) ++fits[pair.objective->name], ++fits[pair.architecture->name];
  for (const auto& objective : objectives()) EXPECT_GT(fits[objective.name], 0) << objective.name;
  for (const auto& architecture : architectures()) EXPECT_GT(fits[architecture.name], 0) << architecture.name;
}

TEST(CatalogContract, ADefaultSectionIsTaken) {
  for (const auto& architecture : architectures()) {
    EXPECT_NO_THROW(architecture.offers(Section(), 1)) << architecture.name;
    EXPECT_NO_THROW(architecture.offers(tiny(), 1)) << architecture.name;
  }
}

// Reads "key = value" lines back, one --set each.
Section parsed(const std::string& toml) {
  Section section;
  std::istringstream lines(toml);
  for (std::string line; std::getline(lines, line);) {
    const auto equals = line.find(" = ");
    EXPECT_NE(equals, std::string::npos) << line;
    if (equals != std::string::npos) section = section.with(line.substr(0, equals), line.substr(equals + 3));
  }
  return section;
}

TEST(CatalogContract, OptionsPrintAndParseBack) {
  for (const auto& o : objectives()) {
    const auto printed = o.resolve(Section());
    EXPECT_EQ(o.resolve(parsed(printed)), printed) << o.name;
  }
  for (const auto& a : architectures()) {
    const auto printed = a.resolve(tiny());
    EXPECT_EQ(a.resolve(parsed(printed)), printed) << a.name;
    EXPECT_NE(printed, a.resolve(Section())) << a.name << " prints defaults, not what it was given";
  }
}

TEST(CatalogContract, AnUnknownNameIsAnsweredWithTheNearest) {
  using testing::expect_error;
  expect_error(ExitCode::usage, "did you mean \"next_token\"?", [] { find_objective(Section().with("kind", "\"next_tokn\"")); });
  expect_error(ExitCode::usage, "did you mean \"decoder\"?", [] { find_architecture(Section().with("kind", "\"decodr\"")); });
}

TEST(CatalogContract, AMisfitNamesTheVisibilityThatIsMissing) {
  const auto full = find_architecture(Section()).offers(tiny().with("visibility", "\"full\""), 1);
  const auto reason = misfit(find_objective(Section()).needs(Section()), full);
  ASSERT_TRUE(reason) << "next-token prediction on a network that sees the next token";
  EXPECT_NE(reason->find("causal"), std::string::npos) << *reason;
}

}  // namespace
}  // namespace lacuna
