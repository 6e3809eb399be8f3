// What every decoder owes whatever its options: who influences whom, what the loss is, and that reading a prompt token by token
// is reading it at once.
#include "trainer/model/decoder.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/error.h"
#include "tests/support/network.h"

namespace lacuna {
namespace {

using testing::gpt2_shape;
using testing::llama_shape;
using testing::make_network;
using testing::random_batch;
using testing::relative_error;

constexpr int64_t kVocabulary = 61;
constexpr int64_t kLength = 10;

struct Shape {
  std::string name;
  DecoderOptions options;
};

std::vector<Shape> shapes() {
  std::vector<Shape> all{{"gpt2", gpt2_shape()}, {"llama", llama_shape()}};
  auto relative = gpt2_shape();
  relative.position = PositionKind::relative;
  relative.activation = Activation::geglu;
  all.push_back({"relative", relative});
  auto none = llama_shape();
  none.position = PositionKind::none;
  none.bias = BiasKind::qkv;
  none.activation = Activation::gelu;
  all.push_back({"none", none});
  return all;
}

at::Tensor states(testing::Network& network, const Batch& batch) {
  const torch::NoGradGuard no_grad;
  network.decoder->eval();
  return network.decoder->forward(batch).states;
}

// Another token at (0, t).
Batch perturbed(Batch batch, int64_t t) {
  batch.tokens = batch.tokens.clone();
  auto& token = batch.tokens.data_ptr<int32_t>()[t];
  token = static_cast<int32_t>((token + 17) % kVocabulary);
  return batch;
}

// influence[k][q]: does the token at k change the state at q, in the last bit?
std::vector<std::vector<bool>> influence(testing::Network& network, const Batch& batch) {
  const auto base = states(network, batch);
  std::vector<std::vector<bool>> changes;
  for (int64_t k = 0; k < kLength; ++k) {
    const auto other = states(network, perturbed(batch, k));
    auto& row = changes.emplace_back();
    for (int64_t q = 0; q < kLength; ++q) row.push_back(!at::equal(base[0][q], other[0][q]));
  }
  return changes;
}

// The same as a picture, so that a failure shows where the leak is.
template <class Rule>
std::string picture(const Rule& rule) {
  std::string out;
  for (int64_t q = 0; q < kLength; ++q) {
    out += '\n';
    for (int64_t k = 0; k < kLength; ++k) out += rule(q, k) ? '#' : '.';
  }
  return out;
}

// A mask and its document and prefix marks, each position as one character.
struct Mask {
  std::string name;
  Visibility visibility;
  std::string prefix, documents;  // "1110000000" and "1112223300"; empty = none
  int64_t window = 0;
};

class Influence : public ::testing::TestWithParam<Mask> {};

TEST_P(Influence, IsExactlyTheDeclaredMask) {
  const auto& mask = GetParam();
  auto batch = random_batch(1, kLength, kVocabulary);
  if (!mask.prefix.empty()) {
    batch.bidirectional = at::zeros({1, kLength}, at::kBool);
    for (int64_t t = 0; t < kLength; ++t) batch.bidirectional.data_ptr<bool>()[t] = mask.prefix[static_cast<size_t>(t)] == '1';
  }
  if (!mask.documents.empty()) {
    batch.segments = at::zeros({1, kLength}, at::kInt);
    for (int64_t t = 0; t < kLength; ++t) batch.segments.data_ptr<int32_t>()[t] = mask.documents[static_cast<size_t>(t)] - '0';
  }
  const auto allowed = [&](int64_t query, int64_t key) {
    const auto q = static_cast<size_t>(query), k = static_cast<size_t>(key);
    if (q == k) return true;
    if (!mask.documents.empty() && (mask.documents[q] != mask.documents[k] || mask.documents[k] == '0')) return false;
    if (mask.visibility == Visibility::full) return true;
    if (mask.window > 0 && query - key >= mask.window) return false;
    return k < q || (mask.visibility == Visibility::prefix && mask.prefix[q] == '1' && mask.prefix[k] == '1');
  };
  const auto through_two_layers = [&](int64_t q, int64_t k) {
    for (int64_t middle = 0; middle < kLength; ++middle) {
      if (allowed(q, middle) && allowed(middle, k)) return true;
    }
    return false;
  };
  const auto mesh = make_self_mesh();
  for (auto shape : shapes()) {
    shape.options.visibility = mask.visibility;
    shape.options.window = mask.window;
    auto two_layers = make_network(shape.options, *mesh, kVocabulary, kLength);
    auto seen = influence(*two_layers, batch);
    EXPECT_EQ(picture([&](int64_t q, int64_t k) { return seen[static_cast<size_t>(k)][static_cast<size_t>(q)]; }),
              picture(through_two_layers))
        << shape.name << ", two layers";
    shape.options.num_layers = 1;
    auto one_layer = make_network(shape.options, *mesh, kVocabulary, kLength);
    seen = influence(*one_layer, batch);
    EXPECT_EQ(picture([&](int64_t q, int64_t k) { return seen[static_cast<size_t>(k)][static_cast<size_t>(q)]; }),
              picture(allowed))
        << shape.name << ", one layer";
  }
}

INSTANTIATE_TEST_SUITE_P(Masks, Influence,
                         ::testing::Values(Mask{"causal", Visibility::causal, "", ""}, Mask{"full", Visibility::full, "", ""},
                                           Mask{"prefix", Visibility::prefix, "1111000000", ""},
                                           Mask{"scattered_prefix", Visibility::prefix, "0110010100", ""},
                                           Mask{"causal_documents", Visibility::causal, "", "1112222333"},
                                           Mask{"full_documents", Visibility::full, "", "1112222333"},
                                           Mask{"prefix_documents", Visibility::prefix, "1100110010", "1112222333"},
                                           Mask{"window_of_one", Visibility::causal, "", "", 1},
                                           Mask{"window", Visibility::causal, "", "", 3},
                                           Mask{"window_as_wide_as_the_row", Visibility::causal, "", "", kLength},
                                           Mask{"window_documents", Visibility::causal, "", "1112222333", 2},
                                           Mask{"causal_padding", Visibility::causal, "", "1112222000"},
                                           Mask{"full_padding", Visibility::full, "", "1112222000"}),
                         [](const auto& test) { return test.param.name; });

TEST(Decoder, PrefixVisibilityWithoutAPrefixSaysWhoMustMarkIt) {
  auto options = gpt2_shape();
  options.visibility = Visibility::prefix;
  const auto mesh = make_self_mesh();
  auto network = make_network(options, *mesh, kVocabulary, kLength);
  try {
    states(*network, random_batch(1, kLength, kVocabulary));
    FAIL() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("needs an objective that marks a prefix"), std::string::npos) << error.what();
  }
}

TEST(Decoder, RowsDoNotInfluenceEachOther) {
  const auto mesh = make_self_mesh();
  for (const auto& shape : shapes()) {
    auto network = make_network(shape.options, *mesh, kVocabulary, kLength);
    const auto batch = random_batch(3, kLength, kVocabulary);
    const auto base = states(*network, batch), other = states(*network, perturbed(batch, 4));
    EXPECT_TRUE(at::equal(base.narrow(0, 1, 2), other.narrow(0, 1, 2))) << shape.name;
    EXPECT_FALSE(at::equal(base[0], other[0])) << shape.name;
  }
}

TEST(Decoder, ZeroHeadGivesTheUniformLossOverTheRealVocabulary) {
  const auto mesh = make_self_mesh();
  auto network = make_network(llama_shape(), *mesh, kVocabulary, kLength);
  const torch::NoGradGuard no_grad;
  (*network)["head_weight"].zero_();
  const auto batch = random_batch(2, kLength, kVocabulary);
  const auto loss = network->decoder->head().loss(states(*network, batch), batch.targets, batch.weights).item<double>();
  EXPECT_NEAR(loss / batch.target_count, std::log(static_cast<double>(kVocabulary)), 1e-6);
}

double backward(testing::Network& network, const Batch& batch) {
  network.keep_gradients();
  const auto loss = network.decoder->head().loss(network.decoder->forward(batch).states, batch.targets, batch.weights);
  loss.backward();
  return loss.item<double>();
}

TEST(Decoder, TargetsOfWeightZeroChangeNeitherLossNorGradients) {
  const auto mesh = make_self_mesh();
  for (const auto& shape : shapes()) {
    auto network = make_network(shape.options, *mesh, kVocabulary, kLength);
    auto batch = random_batch(2, kLength, kVocabulary);
    auto* weight = batch.weights.data_ptr<float>();
    weight[3] = weight[12] = 0;
    const double loss = backward(*network, batch);
    std::vector<at::Tensor> gradients;
    for (const auto& p : network->parameters) gradients.push_back(p.value.grad().clone());
    auto* target = batch.targets.data_ptr<int32_t>();
    target[3] = (target[3] + 5) % kVocabulary;
    target[12] = (target[12] + 9) % kVocabulary;
    EXPECT_EQ(backward(*network, batch), loss) << shape.name;
    for (size_t i = 0; i < gradients.size(); ++i) {
      EXPECT_TRUE(at::equal(network->parameters[i].value.grad(), gradients[i]))
          << shape.name << " " << network->parameters[i].name;
    }
    target[4] = (target[4] + 5) % kVocabulary;
    EXPECT_NE(backward(*network, batch), loss) << "a target that counts must matter";
  }
}

TEST(Decoder, GradientsReachEveryParameterInPlaceAsWithout) {
  const auto mesh = make_self_mesh();
  for (const auto& shape : shapes()) {
    auto network = make_network(shape.options, *mesh, kVocabulary, kLength);
    const auto batch = random_batch(2, kLength, kVocabulary);
    network->decoder->head().loss(network->decoder->forward(batch).states, batch.targets, batch.weights).backward();
    std::vector<at::Tensor> ordinary;
    for (const auto& p : network->parameters) ordinary.push_back(p.value.grad().clone());
    backward(*network, batch);
    for (size_t i = 0; i < ordinary.size(); ++i) {
      const auto& p = network->parameters[i];
      EXPECT_GT(ordinary[i].abs().max().item<float>(), 0) << shape.name << " " << p.name;
      if (p.name.find("key.bias") != std::string::npos) continue;  // adds the same to all scores of a query: rounding alone
      EXPECT_LT(relative_error(p.value.grad(), ordinary[i]), 1e-5) << shape.name << " " << p.name;
    }
  }
}

TEST(Decoder, PackedDocumentsAreReadAsIfEachStoodAlone) {
  const auto mesh = make_self_mesh();
  for (const auto visibility : {Visibility::causal, Visibility::full}) {
    for (auto shape : shapes()) {
      shape.options.visibility = visibility;
      auto network = make_network(shape.options, *mesh, kVocabulary, kLength);
      const auto first = random_batch(1, 4, kVocabulary, 1), second = random_batch(1, 6, kVocabulary, 2);
      Batch packed = random_batch(1, kLength, kVocabulary);
      packed.tokens = at::cat({first.tokens, second.tokens}, 1);
      packed.segments = at::tensor({1, 1, 1, 1, 2, 2, 2, 2, 2, 2}, at::kInt).unsqueeze(0);
      packed.positions = at::tensor({0, 1, 2, 3, 0, 1, 2, 3, 4, 5}, at::kInt).unsqueeze(0);
      const auto together = states(*network, packed);
      EXPECT_LT(relative_error(together.narrow(1, 0, 4), states(*network, first)), 1e-5) << shape.name;
      EXPECT_LT(relative_error(together.narrow(1, 4, 6), states(*network, second)), 1e-5) << shape.name;
    }
  }
}

TEST(Generation, ReadsTokenByTokenAsAtOnce) {
  const auto mesh = make_self_mesh();
  constexpr int64_t prompt = 4;
  const std::pair<Visibility, int64_t> rules[]{
      {Visibility::causal, 0}, {Visibility::prefix, 0}, {Visibility::causal, 1}, {Visibility::causal, 3}, {Visibility::causal, 7}};
  for (const auto& [visibility, window] : rules) {
    for (auto shape : shapes()) {
      shape.options.visibility = visibility;
      shape.options.window = window;
      auto network = make_network(shape.options, *mesh, kVocabulary, kLength);
      auto batch = random_batch(2, kLength, kVocabulary);
      batch.bidirectional = at::arange(kLength).lt(prompt).unsqueeze(0).expand({2, kLength}).contiguous();
      const torch::NoGradGuard no_grad;
      const auto logits = network->decoder->head().logits(states(*network, batch));
      auto generation = network->decoder->generate(2);
      auto next = generation->advance(batch.tokens.narrow(1, 0, prompt).contiguous());
      for (int64_t t = prompt; t < kLength; ++t) {
        EXPECT_EQ(generation->length(), t);
        EXPECT_LT(relative_error(next, logits.select(1, t - 1)), 1e-4) << shape.name << " at " << t;
        next = generation->advance(batch.tokens.narrow(1, t, 1).contiguous());
      }
      EXPECT_EQ(next.sizes(), (std::vector<int64_t>{2, kVocabulary}));
      EXPECT_LT(relative_error(next, logits.select(1, kLength - 1)), 1e-4) << shape.name;
    }
  }
}

TEST(Generation, RefusesTextThatIsLongerThanTheRows) {
  const auto mesh = make_self_mesh();
  auto network = make_network(gpt2_shape(), *mesh, kVocabulary, kLength);
  auto generation = network->decoder->generate(1);
  generation->advance(random_batch(1, kLength, kVocabulary).tokens);
  try {
    generation->advance(random_batch(1, 1, kVocabulary).tokens);
    FAIL() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("longer than the network's rows"), std::string::npos) << error.what();
  }
}

TEST(Generation, ABidirectionalDecoderSaysWhatWouldGenerate) {
  auto options = gpt2_shape();
  options.visibility = Visibility::full;
  const auto mesh = make_self_mesh();
  auto network = make_network(options, *mesh, kVocabulary, kLength);
  EXPECT_FALSE(network->decoder->offers().generates);
  try {
    network->decoder->generate(1);
    FAIL() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("such as a causal decoder"), std::string::npos) << error.what();
  }
}

TEST(Dropout, IsAFunctionOfTheRowAndNotOfItsPlace) {
  auto options = gpt2_shape();
  options.dropout = 0.3;
  const auto mesh = make_self_mesh();
  auto network = make_network(options, *mesh, kVocabulary, kLength);
  const torch::NoGradGuard no_grad;
  const auto run = [&](const Batch& batch) { return network->decoder->forward(batch).states; };
  auto batch = random_batch(3, kLength, kVocabulary);
  batch.stream_positions = at::tensor({40, 41, 42}, at::kLong);
  network->decoder->train();
  const auto base = run(batch);
  EXPECT_TRUE(at::equal(run(batch), base)) << "the same step again";

  const auto order = at::tensor({2, 0, 1}, at::kLong);
  Batch shuffled = batch;
  shuffled.tokens = batch.tokens.index_select(0, order);
  shuffled.stream_positions = batch.stream_positions.index_select(0, order);
  EXPECT_LT(relative_error(run(shuffled), base.index_select(0, order)), 1e-6) << "rows in another order";

  Batch last = batch;  // as a micro-batch of its own
  last.tokens = batch.tokens.narrow(0, 2, 1).contiguous();
  last.stream_positions = batch.stream_positions.narrow(0, 2, 1).contiguous();
  EXPECT_LT(relative_error(run(last), base.narrow(0, 2, 1)), 1e-6) << "another split into micro-batches";

  Batch later = batch;
  later.stream_positions = batch.stream_positions + 3;
  EXPECT_GT(relative_error(run(later), base), 0.1) << "another step must drop other values";

  network->decoder->eval();
  EXPECT_GT(relative_error(run(batch), base), 0.1);
  EXPECT_TRUE(at::equal(run(later), run(batch))) << "evaluation drops nothing";
}

// 6 (matrices without the embedding's look-up) + 6 L D T: 798.0 million for GPT-2 124M (performance notes, section 2.1).
TEST(Decoder, CountsTheFlopsOfGpt2) {
  const auto mesh = make_self_mesh();
  const DecoderOptions options{.num_layers = 12, .hidden_size = 768, .num_heads = 12};
  ParameterTable table;
  const ModelContext context{.mesh = *mesh, .parameters = table, .vocabulary_size = 50257, .max_length = 1024, .seed = 1};
  const Decoder decoder(options, context);
  const double matrices = 12.0 * 12 * 768 * 768 + 768.0 * 50304;
  EXPECT_DOUBLE_EQ(decoder.flops_per_token(1024), 6 * matrices + 6.0 * 12 * 768 * 1024);

  // 128 queries see 1, 2, ..., 128 keys, the other 896 see 128; half a key is lost as it is above.
  auto windowed = options;
  windowed.window = 128;
  ParameterTable other;
  const Decoder narrow(windowed, {.mesh = *mesh, .parameters = other, .vocabulary_size = 50257, .max_length = 1024, .seed = 1});
  const double seen = (128.0 * 128 / 2 + 896.0 * 128) / 1024;
  EXPECT_DOUBLE_EQ(narrow.flops_per_token(1024), 6 * matrices + 12.0 * 12 * 768 * seen);
  EXPECT_DOUBLE_EQ(narrow.flops_per_token(100), decoder.flops_per_token(100));
}

}  // namespace
}  // namespace lacuna
