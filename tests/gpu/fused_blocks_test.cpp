// Blocks as single nodes of kernels against the same network of ATen's operations: whatever bf16 costs the one it costs the
// other.
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>

#include "data/documents.h"
#include "tests/support/device_compare.h"
#include "tests/support/network.h"
#include "trainer/model/flat_storage.h"

namespace lacuna {
namespace {

using testing::Execution;
using testing::make_network;
using testing::on_device;
using testing::random_batch;
using testing::relative_error;

constexpr int64_t kVocabulary = 131;

struct Shape {
  std::string name;
  DecoderOptions options;
  int64_t rows, length;
  bool documents = false;
};

DecoderOptions with_window(DecoderOptions options) {
  options.window = 20;
  return options;
}

DecoderOptions with_prefix(DecoderOptions options) {
  options.visibility = Visibility::prefix;
  return options;
}

// Widths that fill lines of 32, rows and lengths that fill nothing.
std::vector<Shape> shapes() {
  DecoderOptions gpt2{.num_layers = 3,
                      .hidden_size = 96,
                      .num_heads = 3,
                      .num_kv_heads = 3,
                      .feed_forward_size = 160,
                      .position = PositionKind::learned,
                      .activation = Activation::gelu_tanh};
  auto exact = gpt2;
  exact.activation = Activation::gelu;
  DecoderOptions llama{.num_layers = 3,
                       .hidden_size = 128,
                       .num_heads = 4,
                       .num_kv_heads = 2,
                       .feed_forward_size = 224,
                       .norm = NormKind::rms_norm,
                       .position = PositionKind::rotary,
                       .activation = Activation::swiglu,
                       .bias = BiasKind::none,
                       .tied_embedding = false};
  auto qwen = llama;
  qwen.bias = BiasKind::qkv;
  auto biased = llama;  // an RMS norm behind a half that ends with a bias
  biased.bias = BiasKind::all;
  biased.activation = Activation::geglu;
  return {{"gpt2", gpt2, 5, 129},
          {"exact gelu", exact, 3, 100},
          {"llama", llama, 5, 129},
          {"qwen", qwen, 2, 257},
          {"biased", biased, 3, 70},
          {"by document", gpt2, 4, 129, true},
          {"window", with_window(llama), 3, 129},
          {"window by document", with_window(llama), 4, 100, true},
          {"prefix", with_prefix(llama), 3, 129},
          {"prefix by document", with_prefix(gpt2), 4, 70, true}};
}

// Three documents a row, the last of one token, and a prefix of a third where there is to be one.
Batch batch_of(const Shape& shape) {
  auto batch = random_batch(shape.rows, shape.length, kVocabulary);
  if (shape.documents) {
    batch.segments = at::zeros(batch.tokens.sizes(), at::kInt);
    batch.positions = at::zeros(batch.tokens.sizes(), at::kInt);
    auto *segment = batch.segments.data_ptr<int32_t>(), *position = batch.positions.data_ptr<int32_t>();
    for (int64_t row = 0; row < shape.rows; ++row) {
      const int64_t second = shape.length * (row + 1) / (shape.rows + 1), third = shape.length - 1;
      for (int64_t t = 0; t < shape.length; ++t) {
        *segment++ = 1 + (t >= second) + (t >= third);
        *position++ = static_cast<int32_t>(t - (t >= third ? third : t >= second ? second : 0));
      }
    }
    batch.documents = document_starts(batch.segments);
  }
  if (shape.options.visibility == Visibility::prefix) {
    batch.bidirectional = at::zeros(batch.tokens.sizes(), at::kBool);
    batch.bidirectional.narrow(1, 0, shape.length / 3).fill_(true);
  }
  return batch;
}

struct Result {
  double loss;
  std::vector<std::pair<std::string, at::Tensor>> gradients;
};

// Values that bf16 holds, in any type of computation.
Result run(const Shape& shape, at::ScalarType type, const Execution& execution) {
  const auto mesh = make_self_mesh();
  const auto network = make_network(shape.options, *mesh, kVocabulary, shape.length, 7, execution);
  std::vector<at::Tensor> values;
  for (const auto& p : network->parameters) values.push_back(p.value.detach().clone().to(at::kBFloat16));
  const FlatStorage storage(network->parameters, 1, at::kCUDA, type);
  {
    const torch::NoGradGuard no_grad;
    for (size_t i = 0; i < values.size(); ++i) network->parameters[i].value.copy_(values[i]);
  }
  const auto batch = batch_of(shape).to(at::kCUDA);
  network->decoder->train();
  const auto loss = network->decoder->head().loss(network->decoder->forward(batch).states, batch.targets, batch.weights);
  loss.backward();
  Result result{loss.item<double>(), {}};
  for (const auto& p : network->parameters) result.gradients.emplace_back(p.name, p.value.grad().clone());
  return result;
}

double error(const Result& got, const Result& exact, size_t i) {
  return relative_error(got.gradients[i].second, exact.gradients[i].second);
}

TEST(FusedBlocks, AreAsExactAsTheCompositionInBf16) {
  for (const auto& shape : shapes()) {
    const auto exact = run(shape, at::kFloat, {.operations = reference_operations()}),
               composed = run(shape, at::kBFloat16, {.operations = reference_operations()}),
               fused = run(shape, at::kBFloat16, {.fused = true});
    EXPECT_NEAR(fused.loss, exact.loss, 2e-3 * exact.loss) << shape.name;
    for (size_t i = 0; i < exact.gradients.size(); ++i) {
      const auto& name = exact.gradients[i].first;
      if (name.ends_with("key.bias")) continue;  // rounding alone: the softmax takes it out
      const double ours = error(fused, exact, i), theirs = error(composed, exact, i);
      EXPECT_LT(ours, 1.25 * theirs + 2e-3) << shape.name << " " << name;
      EXPECT_LT(ours, 0.1) << shape.name << " " << name;
    }
  }
}

TEST(FusedBlocks, KernelsInFp32EqualTheReference) {
  for (const auto& shape : shapes()) {
    const auto expected = run(shape, at::kFloat, {.operations = reference_operations()}), got = run(shape, at::kFloat, {});
    EXPECT_NEAR(got.loss, expected.loss, 1e-5 * expected.loss) << shape.name;
    for (size_t i = 0; i < expected.gradients.size(); ++i) {
      if (expected.gradients[i].first.ends_with("key.bias")) continue;
      EXPECT_LT(error(got, expected, i), 3e-5) << shape.name << " " << expected.gradients[i].first;
    }
  }
}

TEST(FusedBlocks, RecomputationChangesNothing) {
  for (const auto& shape : shapes()) {
    const auto kept = run(shape, at::kBFloat16, {.fused = true}), again = run(shape, at::kBFloat16, {.fused = true});
    for (const auto recompute : {Recompute::norms, Recompute::feed_forward, Recompute::block}) {
      const auto got = run(shape, at::kBFloat16, {.fused = true, .recompute = recompute});
      const auto what = shape.name + ", " + std::string(names_of(recompute)[static_cast<size_t>(recompute)]) + " ";
      EXPECT_NEAR(got.loss, kept.loss, 1e-6 * kept.loss) << what;
      for (size_t i = 0; i < kept.gradients.size(); ++i) {
        if (kept.gradients[i].first.ends_with("key.bias")) continue;
        // As far apart as two runs of the same are: sums of split products have no fixed order. The slack is half a step of bf16,
        // for two runs that happened to agree.
        EXPECT_LE(error(got, kept, i), 2 * error(again, kept, i) + 4e-3) << what << kept.gradients[i].first;
      }
    }
  }
}

int64_t peak_bytes(const Shape& shape, Recompute recompute) {
  const auto mesh = make_self_mesh();
  const auto network = make_network(shape.options, *mesh, kVocabulary, shape.length, 7, {.fused = true, .recompute = recompute});
  const FlatStorage storage(network->parameters, 1, at::kCUDA, at::kBFloat16);
  const auto batch = random_batch(shape.rows, shape.length, kVocabulary).to(at::kCUDA);
  network->decoder->train();
  const auto device = c10::cuda::current_device();
  const auto allocated = [&] { return c10::cuda::CUDACachingAllocator::getDeviceStats(device).allocated_bytes[0]; };
  const auto pass = [&] {
    const auto states = network->decoder->forward(batch).states;
    states.backward(at::randn(states.sizes(), states.options()));
  };
  pass();  // makes what stays, such as workspaces
  const int64_t before = allocated().current;
  c10::cuda::CUDACachingAllocator::resetPeakStats(device);
  pass();
  return allocated().peak - before;
}

TEST(FusedBlocks, RecomputationSavesMemory) {
  auto shape = shapes().front();
  shape.options.num_layers = 8;
  shape.rows = 64;
  const double unit = 2.0 * static_cast<double>(shape.rows * shape.length * shape.options.hidden_size);
  int64_t before = std::numeric_limits<int64_t>::max();
  for (const auto recompute : {Recompute::none, Recompute::norms, Recompute::feed_forward, Recompute::block}) {
    const auto bytes = peak_bytes(shape, recompute);
    std::printf("recompute %zu: %.1f tensors of the stream's size\n", static_cast<size_t>(recompute),
                static_cast<double>(bytes) / unit);
    EXPECT_LT(bytes, before);
    before = bytes;
  }
  // Of each of 8 blocks its input, and once what a block needs.
  EXPECT_LT(static_cast<double>(before), (8 + 20) * unit);
}

}  // namespace
}  // namespace lacuna
