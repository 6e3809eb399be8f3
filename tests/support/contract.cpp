#include "tests/support/contract.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>

#include "tests/support/contract_frames.h"
#include "tests/support/update.h"
#include "trainer/optim/adamw.h"

namespace lacuna::testing {
namespace {

constexpr int32_t kEnd = kTokenizerSize - 1;

// A stretch of a synthetic stream with two documents. Its tokens differ from one another, so that each one's place can be told,
// and rows begin with different ones: no two ask for different continuations of one beginning.
Sample sample(int64_t length, int64_t row) {
  Random random(5, static_cast<uint64_t>(row));
  Sample s{.position = 100 + row, .tokens = {}, .document_starts = {0, static_cast<int32_t>(length / 2 + row)}};
  for (int64_t i = 0; i < length; ++i) s.tokens.push_back(static_cast<int32_t>(i % kEnd));
  for (size_t i = s.tokens.size(); i > 1; --i)
    std::swap(s.tokens[i - 1], s.tokens[static_cast<size_t>(random.below(static_cast<int64_t>(i)))]);
  std::swap(s.tokens[0], *std::find(s.tokens.begin(), s.tokens.end(), static_cast<int32_t>(row)));
  s.tokens[static_cast<size_t>(s.document_starts[1] - 1)] = kEnd;
  return s;
}

std::map<std::string, at::Tensor> fields(const Batch& b) {
  std::map<std::string, at::Tensor> all{{"tokens", b.tokens},
                                        {"targets", b.targets},
                                        {"weights", b.weights},
                                        {"predicted", b.predicted},
                                        {"future_targets", b.future_targets},
                                        {"future_weights", b.future_weights},
                                        {"bidirectional", b.bidirectional},
                                        {"segments", b.segments},
                                        {"positions", b.positions},
                                        {"stream_positions", b.stream_positions},
                                        {"encoder_tokens", b.encoder_tokens},
                                        {"encoder_segments", b.encoder_segments},
                                        {"encoder_positions", b.encoder_positions},
                                        {"values", b.values},
                                        {"masked", b.masked},
                                        {"keys", b.keys},
                                        {"value_targets", b.value_targets},
                                        {"value_weights", b.value_weights}};
  std::erase_if(all, [](const auto& field) { return !field.second.defined(); });
  return all;
}

const at::Tensor& weights_of(const Batch& batch) { return batch.value_weights.defined() ? batch.value_weights : batch.weights; }

// Whether the loss is that of a choice among classes, and not of values.
bool chooses(const ContractRun& run) { return run.pair.architecture->modality == "text" || run.objective->num_classes(); }

// Another token that stands for text.
int32_t other(int32_t token) { return (token + 1) % kEnd; }

void the_loss_is_finite_and_its_gradient_reaches_every_parameter(ContractRun& run) {
  const auto loss = run.backward(run.batch());
  EXPECT_TRUE(std::isfinite(loss));
  if (chooses(run)) {
    EXPECT_NEAR(loss, std::log(static_cast<double>(run.objective->num_classes().value_or(run.vocabulary_size))), 0.3)
        << "a new network is nearly indifferent";
  }
  const bool masks = run.batch().masked.defined();
  for (const auto& p : run.parameters) {
    if (p.name == "mask" && !masks) continue;  // the vector of patches that are masked, of an objective that masks none
    EXPECT_TRUE(p.value.grad().isfinite().all().item<bool>()) << p.name;
    EXPECT_TRUE(p.value.grad().ne(0).any().item<bool>()) << "no gradient reaches " << p.name;
  }
}

void weights_sum_to_the_target_count(ContractRun& run) {
  const auto batch = run.batch();
  EXPECT_EQ(batch.rows() % kRows, 0);
  EXPECT_GT(batch.target_count, 0);
  EXPECT_NEAR(weights_of(batch).sum(at::kDouble).item<double>(), batch.target_count, 1e-5 * batch.target_count);
}

void same_seed_same_bits(ContractRun& run) {
  ContractRun again(run.pair, run.place);
  const auto batch = run.batch(), repeated = again.batch();
  const auto expected = fields(batch), actual = fields(repeated);
  ASSERT_EQ(actual.size(), expected.size());
  for (const auto& [name, value] : expected) EXPECT_TRUE(at::equal(actual.at(name), value)) << name;
  EXPECT_EQ(run.backward(batch), again.backward(repeated));
  EXPECT_TRUE(at::equal(run.storage->gradients(), again.storage->gradients()));
}

void shuffled_samples_permute_rows_and_nothing_else(ContractRun& run) {
  const auto samples = run.samples();
  const std::vector<int64_t> order{2, 0, 3, 1};
  std::vector<Sample> shuffled;
  for (const auto row : order) shuffled.push_back(samples[static_cast<size_t>(row)]);
  const auto batch = run.prepare(samples), moved = run.prepare(shuffled);
  EXPECT_EQ(moved.target_count, batch.target_count);
  const auto expected = fields(batch), actual = fields(moved);
  ASSERT_EQ(actual.size(), expected.size());
  const int64_t rows = batch.rows() / kRows;  // of a sample, one behind the other
  for (const auto& [name, value] : expected) {
    if (name == "stream_positions" && rows > 1) continue;
    const auto by_sample = value.unflatten(0, {kRows, rows});
    EXPECT_TRUE(at::equal(actual.at(name), at::index_select(by_sample, 0, at::tensor(order)).flatten(0, 1))) << name;
  }
}

// influence == the declared rule: causal k <= q, prefix also within the mutually visible part, full everywhere. In bf16 an
// influence may drown in rounding, so there what is allowed must show somewhere and what is not allowed nowhere.
void an_input_reaches_exactly_the_positions_that_may_see_it(ContractRun& run) {
  const auto batch = run.batch();
  if (batch.values.defined()) return a_patch_reaches_exactly_the_positions_that_may_see_it(run);
  const auto visibility = run.architecture->offers().visibility;
  const auto base = run.states(batch);
  const bool exact = run.place.compute == at::kFloat;
  for (int64_t k = 0; k < batch.length(); ++k) {
    auto changed = batch;
    changed.tokens = batch.tokens.clone();
    auto& token = changed.tokens.data_ptr<int32_t>()[k];
    token = other(token);
    const auto states = run.states(changed);
    for (int64_t q = 0; q < batch.length(); ++q) {
      const auto in_prefix = [&](int64_t t) { return batch.bidirectional.defined() && batch.bidirectional[0][t].item<bool>(); };
      const bool apart = batch.segments.defined() && !at::equal(batch.segments[0][k], batch.segments[0][q]);
      const bool allowed = !apart && (visibility == Visibility::full || k <= q ||
                                      (visibility == Visibility::prefix && in_prefix(k) && in_prefix(q)));
      const bool differs = !at::equal(states[0][q], base[0][q]);
      if (exact || !allowed || k == q) {
        EXPECT_EQ(differs, allowed) << "input " << k << ", state " << q;
      }
    }
    for (int64_t row = 1; row < kRows; ++row)
      EXPECT_TRUE(at::equal(states[row], base[row])) << "input " << k << " of row 0, row " << row;
  }
}

void what_is_to_be_predicted_is_hidden_from_the_state_that_predicts_it(ContractRun& run) {
  const auto samples = run.samples();
  const auto batch = run.prepare(samples);
  if (batch.values.defined()) return what_is_masked_is_hidden_from_every_state(run);
  const auto base = run.states(batch);
  const auto visibility = run.architecture->offers().visibility;
  int64_t predictions = 0;
  for (size_t j = 0; j < samples[0].tokens.size(); ++j) {
    auto changed = samples;
    changed[0].tokens[j] = other(changed[0].tokens[j]);
    const auto other_batch = run.prepare(changed);
    const auto states = run.states(other_batch);
    for (int64_t q = 0; q < batch.length(); ++q) {
      const bool predicts = batch.weights[0][q].item<float>() > 0 && !at::equal(batch.targets[0][q], other_batch.targets[0][q]);
      predictions += predicts;
      // Some objectives show a part of what they ask for, on purpose: BERT's tokens that stay.
      const bool shown = visibility == Visibility::full && at::equal(batch.tokens[0][q], batch.targets[0][q]);
      if (!predicts || shown) continue;
      EXPECT_TRUE(at::equal(states[0][q], base[0][q])) << "stored token " << j << " leaks into state " << q;
    }
  }
  EXPECT_TRUE(predictions > 0 || run.objective->num_classes()) << "no target depends on the text";
}

void a_target_without_weight_changes_nothing(ContractRun& run) {
  auto batch = run.batch();
  auto& weights = batch.value_weights.defined() ? batch.value_weights : batch.weights;
  weights = weights.clone();
  const int64_t first = batch.length() / 2, count = std::min<int64_t>(3, batch.length() - first);
  weights.narrow(1, first, count).zero_();
  batch.target_count = weights.sum(at::kDouble).item<double>();
  const auto loss = run.backward(batch);
  const auto gradients = run.storage->gradients().clone();

  auto& targets = batch.targets.defined() ? batch.targets : batch.value_targets;
  targets = targets.clone();
  auto unweighted = targets.narrow(1, first, count);
  unweighted.copy_(unweighted.add(1).remainder(run.objective->num_classes().value_or(kEnd)));
  EXPECT_EQ(run.backward(batch), loss);
  EXPECT_TRUE(at::equal(run.storage->gradients(), gradients));
}

void an_indifferent_head_loses_the_logarithm_of_the_vocabulary(ContractRun& run) {
  if (!chooses(run)) return;  // what indifference costs where values are painted is told by the objective's own tests
  const torch::NoGradGuard no_grad;
  int64_t tables = 0;
  for (auto& p : run.parameters) {  // the head, or the embedding that it shares: the tables over the padded vocabulary
    if (p.full_shape[0] != padded_vocabulary(run.vocabulary_size) && p.name != "places") continue;
    p.value.zero_();
    ++tables;
  }
  ASSERT_GT(tables, 0);
  // What is descended on starts from noise, which an indifferent descent returns as it is.
  EXPECT_NEAR(run.loss(run.batch()), std::log(static_cast<double>(run.objective->num_classes().value_or(run.vocabulary_size))),
              run.objective->needs().candidates ? 0.02 : 1e-5);
}

void one_batch_is_learnt_by_heart(ContractRun& run) {
  const auto batch = run.batch();
  AdamW optimizer({.weight_decay = 0}, *run.storage);
  const auto scale = at::full({1}, 1 / batch.target_count, run.storage->gradients().options());
  // Of values that are painted, which are noise here, a twentieth of the beginning's.
  const double enough = chooses(run) ? 0.05 : 0.05 * run.loss(batch);
  double loss = 0;
  int64_t step = 0;
  do {
    loss = run.backward(batch);
    optimizer.begin(++step, 1e-2);
    optimizer.update(scale);
  } while (loss >= enough && step < 400);
  EXPECT_LT(loss, enough) << "after " << step << " steps";
}

constexpr std::array<Clause, 9> kContract = {{
    {"TheLossIsFiniteAndItsGradientReachesEveryParameter", the_loss_is_finite_and_its_gradient_reaches_every_parameter},
    {"WeightsSumToTheTargetCount", weights_sum_to_the_target_count},
    {"SameSeedSameBits", same_seed_same_bits},
    {"ShuffledSamplesPermuteRowsAndNothingElse", shuffled_samples_permute_rows_and_nothing_else},
    {"AnInputReachesExactlyThePositionsThatMaySeeIt", an_input_reaches_exactly_the_positions_that_may_see_it},
    {"WhatIsToBePredictedIsHiddenFromTheStateThatPredictsIt", what_is_to_be_predicted_is_hidden_from_the_state_that_predicts_it},
    {"ATargetWithoutWeightChangesNothing", a_target_without_weight_changes_nothing},
    {"AnIndifferentHeadLosesTheLogarithmOfTheVocabulary", an_indifferent_head_loses_the_logarithm_of_the_vocabulary},
    {"OneBatchIsLearntByHeart", one_batch_is_learnt_by_heart},
}};

}  // namespace

Section tiny_architecture() {
  return Section().with("num_layers", "2").with("hidden_size", "32").with("num_heads", "4").with("feed_forward_size", "64");
}

Pair try_pair(const ObjectiveEntry& objective, const ArchitectureEntry& architecture, const Section& keys) {
  Pair pair{&objective, &architecture, keys, ""};
  for (const std::string visibility : {"", "full", "prefix"}) {
    const auto section = visibility.empty() ? keys : keys.with("visibility", '"' + visibility + '"');
    std::optional<std::string> reason;
    try {
      reason = misfit(objective.needs_on(architecture.modality, Section()), architecture.offers(section, 1));
    } catch (const Error&) {
      continue;  // an architecture without this key
    }
    if (!reason) return {&objective, &architecture, section, ""};
    if (pair.reason.empty()) pair.reason = *reason;
  }
  if (pair.reason.empty()) pair.reason = "no reason was given";
  return pair;
}

namespace {

struct Variant {
  std::string_view architecture, name;
  std::vector<std::pair<const char*, const char*>> keys;
};

const std::vector<Variant>& variants() {
  static const std::vector<Variant> kVariants{
      {"encoder_decoder",
       "red",
       {{"shared_sides", "true"},
        {"coordinated_layers", "true"},
        {"joint_softmax", "true"},
        {"consecutive_positions", "true"},
        {"causal_encoder", "true"},
        {"position", "\"rotary\""}}},
      {"decoder",
       "palm",
       {{"visibility", "\"prefix\""},
        {"partial_attention", "true"},
        {"type_embedding", "true"},
        {"separate_positions", "true"}}},
  };
  return kVariants;
}

}  // namespace

std::vector<Pair> fitting_pairs() {
  std::vector<Pair> pairs;
  for (const auto& objective : objectives()) {
    for (const auto& architecture : architectures()) {
      if (auto pair = try_pair(objective, architecture); pair.reason.empty()) pairs.push_back(std::move(pair));
      for (const auto& variant : variants()) {
        if (variant.architecture != architecture.name) continue;
        auto keys = tiny_architecture();
        for (const auto& [key, value] : variant.keys) keys = keys.with(key, value);
        auto pair = try_pair(objective, architecture, keys);
        pair.variant = variant.name;
        if (pair.reason.empty()) pairs.push_back(std::move(pair));
      }
    }
  }
  return pairs;
}

ContractRun::ContractRun(const Pair& p, const Place& where) : pair(p), place(where) {
  const auto offers = pair.architecture->offers(pair.section, 1);
  std::optional<PatchGrid> grid;
  if (offers.modality == "frames") grid = kGrid;
  objective = pair.objective->make(Section(), {.length = kLength,
                                               .tokenizer_size = kTokenizerSize,
                                               .end_token = kEnd,
                                               .rows_per_step = kRows,
                                               .encoder = offers.encoder,
                                               .visibility = offers.visibility,
                                               .grid = grid});
  vocabulary_size = kTokenizerSize + objective->needs().num_special_tokens;
  const ModelContext context{.mesh = *mesh,
                             .parameters = table,
                             .vocabulary_size = vocabulary_size,
                             .max_length = kLength + (objective->needs().withheld_positions ? 1 : 0),
                             .seed = 1,
                             .fused = place.fused,
                             .deterministic = place.fused,
                             .grid = grid};
  architecture = pair.architecture->make(pair.section, context);
  objective->build(context, *architecture);
  parameters = table.list(*architecture);
  for (auto& own : table.list(*objective)) parameters.push_back(std::move(own));
  storage = std::make_unique<FlatStorage>(parameters, 1, place.device, place.compute);
  initialize(parameters, 1, 0, 1);
}

std::vector<Sample> ContractRun::samples() const {
  std::vector<Sample> all;
  const bool frames = pair.architecture->modality == "frames";  // whole ones where padding would keep blocks from being fused
  for (int64_t row = 0; row < kRows; ++row) all.push_back(frames ? sample_of_frames(row, place.fused) : sample(objective->sample_length(), row));
  return all;
}

Batch ContractRun::prepare(const std::vector<Sample>& samples) const { return objective->prepare(samples, Random(1, 2)); }

double ContractRun::backward(const Batch& batch) {
  storage->zero_gradients();
  architecture->train();
  const auto sum = objective->loss(*architecture, batch.to(place.device)).sum;
  sum.backward();
  return sum.item<double>() / batch.target_count;
}

double ContractRun::loss(const Batch& batch) {
  return objective->loss(*architecture, batch.to(place.device)).sum.item<double>() / batch.target_count;
}

at::Tensor ContractRun::states(const Batch& batch) {
  const torch::NoGradGuard no_grad;
  architecture->eval();
  return architecture->forward(batch.to(place.device)).states.cpu();
}

std::span<const Clause> contract() { return kContract; }

std::string ContractCase::name() const {
  const auto network = std::string(pair.architecture->name) + (pair.variant.empty() ? "" : "_" + pair.variant);
  return std::string(pair.objective->name) + "_on_" + network + "_" + place.name + "_" + clause.name;
}

std::vector<ContractCase> contract_cases(std::span<const Place> places) {
  std::vector<ContractCase> cases;
  for (const auto& place : places) {
    for (const auto& pair : fitting_pairs()) {
      for (const auto& clause : contract()) cases.push_back({clause, pair, place});
    }
  }
  return cases;
}

}  // namespace lacuna::testing
