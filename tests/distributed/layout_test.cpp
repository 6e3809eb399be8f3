// The network split over the tensor axis against the whole network on one rank: every output and every gradient. Run with 2 and
// with 4 ranks, all of them on the tensor axis.
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include "tests/support/network.h"
#include "trainer/kernels/linear_cross_entropy.h"
#include "trainer/model/embedding.h"
#include "trainer/model/parallel_linear.h"
#include "trainer/parallel/collectives.h"

namespace lacuna {
namespace {

using testing::make_network;
using testing::random_batch;
using testing::relative_error;
using testing::slice_of;

constexpr int64_t kVocabulary = 61, kLength = 10;

// All ranks on the tensor axis, and beside it each rank's own world for the network that is whole.
class Layout : public ::testing::Test {
 protected:
  void SetUp() override { at::manual_seed(5); }
  static int64_t world_size() {
    int size = 0;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    return size;
  }
  std::unique_ptr<Mesh> whole = make_self_mesh();
  std::unique_ptr<Mesh> split = make_mpi_mesh(world_size());
  Communicator& axis() { return split->tensor(); }
  at::Tensor mine(const at::Tensor& full, int64_t dim) {
    const int64_t count = full.size(dim) / axis().size();
    return full.narrow(dim, axis().rank() * count, count).contiguous();
  }
};

template <class Module>
struct Made {
  ParameterTable table;
  std::unique_ptr<Module> module;
  std::vector<ParameterSpec> parameters;
};

template <class Module, class... Arguments>
std::unique_ptr<Made<Module>> make(Mesh& mesh, Arguments... arguments) {
  auto made = std::make_unique<Made<Module>>();
  const ModelContext context{
      .mesh = mesh, .parameters = made->table, .vocabulary_size = kVocabulary, .max_length = kLength, .seed = 3};
  made->module = std::make_unique<Module>(context, arguments...);
  made->parameters = made->table.list(*made->module);
  for (auto& p : made->parameters) p.initial = InitialValues::normal;
  initialize(made->parameters, 3, mesh.tensor().rank(), mesh.tensor().size());
  return made;
}

template <class Parameters>
void expect_equal_gradients(const Parameters& whole, const Parameters& split, Communicator& axis, const std::string& what) {
  ASSERT_EQ(whole.size(), split.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    if (whole[i].name.ends_with("key.bias")) continue;  // rounding alone: the softmax takes it out
    EXPECT_LT(relative_error(split[i].value.grad(), slice_of(whole[i].value.grad(), whole[i], axis.rank(), axis.size())), 1e-5)
        << what << " " << whole[i].name;
  }
}

TEST_F(Layout, InitialValuesAreSlicesOfTheWhole) {
  for (const auto& options : {testing::gpt2_shape(), testing::llama_shape()}) {
    auto shape = options;
    shape.num_kv_heads = 4;
    const auto full = make_network(shape, *whole, kVocabulary, kLength), part = make_network(shape, *split, kVocabulary, kLength);
    ASSERT_EQ(full->parameters.size(), part->parameters.size());
    bool any_split = false;
    for (size_t i = 0; i < full->parameters.size(); ++i) {
      const auto& p = part->parameters[i];
      any_split |= p.partition_dim >= 0;
      EXPECT_EQ(p.name, full->parameters[i].name);
      EXPECT_TRUE(p.value.equal(slice_of(full->parameters[i].value, p, axis().rank(), axis().size()))) << p.name;
    }
    EXPECT_TRUE(any_split);
  }
}

// Two linears of one input, as attention and feed-forward own them; their outputs one after the other.
struct TwoColumns : torch::nn::Module {
  TwoColumns(const ModelContext& context, int64_t in, int64_t out, bool bias)
      : linears(*this, context, in, {{"first", out}, {"second", 2 * out}}, bias) {}
  at::Tensor forward(size_t output, const at::Tensor& x) const { return linears.forward(output, x); }
  ColumnParallelLinears linears;
};

TEST_F(Layout, ColumnParallelLinears) {
  for (const bool bias : {false, true}) {
    const auto full = make<TwoColumns>(*whole, 12, 16, bias), part = make<TwoColumns>(*split, 12, 16, bias);
    for (const int64_t output : {0, 1}) {
      const auto x = at::randn({3, 5, 12}), dy = at::randn({3, 5, 16 * (output + 1)});
      const auto x0 = x.clone().set_requires_grad(true), x1 = x.clone().set_requires_grad(true);
      const auto which = static_cast<size_t>(output);
      const auto expected = full->module->forward(which, x0), actual = part->module->forward(which, copy_to_axis(x1, axis()));
      EXPECT_LT(relative_error(actual, mine(expected, 2)), 1e-5);
      expected.backward(dy);
      actual.backward(mine(dy, 2));
      EXPECT_LT(relative_error(x1.grad(), x0.grad()), 1e-5);
    }
    expect_equal_gradients(full->parameters, part->parameters, axis(), "column");
  }
}

TEST_F(Layout, RowParallelLinear) {
  for (const bool bias : {false, true}) {
    const auto full = make<RowParallelLinear>(*whole, 16, 12, bias), part = make<RowParallelLinear>(*split, 16, 12, bias);
    const auto x = at::randn({3, 5, 16}), dy = at::randn({3, 5, 12});
    const auto x0 = x.clone().set_requires_grad(true), x1 = mine(x, 2).clone().set_requires_grad(true);
    const auto expected = full->module->forward(x0, {&whole->tensor()}), actual = part->module->forward(x1, {&axis()});
    EXPECT_LT(relative_error(actual, expected), 1e-5);
    expected.backward(dy);
    actual.backward(dy);
    EXPECT_LT(relative_error(x1.grad(), mine(x0.grad(), 2)), 1e-5);
    expect_equal_gradients(full->parameters, part->parameters, axis(), "row");
  }
}

TEST_F(Layout, VocabParallelEmbedding) {
  const auto full = make<VocabParallelEmbedding>(*whole, 12), part = make<VocabParallelEmbedding>(*split, 12);
  const auto ids = random_batch(3, kLength, kVocabulary).tokens;
  const auto expected = full->module->forward(ids, {&whole->tensor()}), actual = part->module->forward(ids, {&axis()});
  EXPECT_TRUE(actual.equal(expected));
  const auto dy = at::randn(expected.sizes());
  expected.backward(dy);
  actual.backward(dy);
  expect_equal_gradients(full->parameters, part->parameters, axis(), "embedding");
}

// Vocabularies that end on the first rank, inside a rank, at a seam, and fill the table.
TEST_F(Layout, HeadLoss) {
  for (const int64_t vocabulary : {1, 20, 32, 61, 64, 100, 128}) {
    const auto weight = at::randn({128, 8}), states = at::randn({3, 5, 8}), weights = at::randn({3, 5}).abs();
    const auto targets = random_batch(3, 5, vocabulary).targets;
    const auto x0 = states.clone().set_requires_grad(true), w0 = weight.clone().set_requires_grad(true);
    const auto expected = linear_cross_entropy_reference(x0, w0, targets, weights, vocabulary, whole->tensor());
    expected.backward();

    const auto x1 = states.clone().set_requires_grad(true), w1 = mine(weight, 0).clone().set_requires_grad(true),
               x2 = states.clone().set_requires_grad(true), w2 = mine(weight, 0).clone().set_requires_grad(true);
    const Head head(axis(), w1, vocabulary), reference(axis(), w2, vocabulary, reference_operations());
    const auto actual = head.loss(x1, targets, weights), composed = reference.loss(x2, targets, weights);
    actual.backward();
    composed.backward();
    EXPECT_NEAR(actual.item<double>(), expected.item<double>(), 1e-5 * std::abs(expected.item<double>()) + 1e-6) << vocabulary;
    EXPECT_LT(relative_error(x1.grad(), x0.grad()), 1e-5) << vocabulary;
    EXPECT_LT(relative_error(w1.grad(), mine(w0.grad(), 0)), 1e-5) << vocabulary;
    EXPECT_NEAR(composed.item<double>(), expected.item<double>(), 1e-5 * std::abs(expected.item<double>()) + 1e-6) << vocabulary;
    EXPECT_LT(relative_error(x2.grad(), x0.grad()), 1e-5) << vocabulary;
    EXPECT_LT(relative_error(w2.grad(), mine(w0.grad(), 0)), 1e-5) << vocabulary;

    const torch::NoGradGuard no_grad;
    const auto logits = Head(whole->tensor(), weight, vocabulary).logits(states);
    EXPECT_LT(relative_error(head.logits(states), logits), 1e-6) << vocabulary;
  }
}

struct Shape {
  std::string name;
  DecoderOptions options;
};

std::vector<Shape> shapes() {
  auto llama = testing::llama_shape();
  llama.num_heads = 8;
  llama.num_kv_heads = 4;  // grouped, and four ranks have a head each
  auto relative = testing::gpt2_shape();
  relative.position = PositionKind::relative;
  relative.visibility = Visibility::full;
  relative.activation = Activation::geglu;
  auto dropped = testing::gpt2_shape();
  dropped.dropout = 0.2;
  return {{"gpt2", testing::gpt2_shape()}, {"llama", llama}, {"relative", relative}, {"dropout", dropped}};
}

TEST_F(Layout, WholeDecoder) {
  const auto batch = random_batch(2, kLength, kVocabulary);
  for (const auto& shape : shapes()) {
    const auto full = make_network(shape.options, *whole, kVocabulary, kLength);
    const auto part = make_network(shape.options, *split, kVocabulary, kLength);
    const auto run = [&](testing::Network& network) {
      network.keep_gradients();
      const auto states = network.decoder->forward(batch).states;
      const auto loss = network.decoder->head().loss(states, batch.targets, batch.weights);
      loss.backward();
      return std::pair(states.detach(), loss.item<double>());
    };
    const auto [expected, expected_loss] = run(*full);
    const auto [actual, actual_loss] = run(*part);
    EXPECT_LT(relative_error(actual, expected), 1e-5) << shape.name;
    EXPECT_NEAR(actual_loss, expected_loss, 1e-5 * expected_loss) << shape.name;
    expect_equal_gradients(full->parameters, part->parameters, axis(), shape.name);
  }
}

TEST_F(Layout, GenerationUnderTensorParallelism) {
  const auto tokens = random_batch(2, kLength, kVocabulary).tokens;
  for (const auto& shape : shapes()) {
    if (shape.options.visibility == Visibility::full) continue;
    const auto full = make_network(shape.options, *whole, kVocabulary, kLength);
    const auto part = make_network(shape.options, *split, kVocabulary, kLength);
    full->decoder->eval();
    part->decoder->eval();
    const auto expected = full->decoder->generate(2), actual = part->decoder->generate(2);
    for (int64_t t = 0; t < kLength; ++t) {
      const auto token = tokens.narrow(1, t, 1).contiguous();
      EXPECT_LT(relative_error(actual->advance(token), expected->advance(token)), 1e-5) << shape.name << " at " << t;
    }
  }
}

}  // namespace
}  // namespace lacuna
