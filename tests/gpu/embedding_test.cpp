#include "trainer/kernels/embedding.h"

#include <ATen/cuda/CUDAGraph.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAGuard.h>

#include "tests/support/device_compare.h"

namespace lacuna {
namespace {

using namespace testing;

constexpr int64_t kTableRows = 1000, kFirst = 500;  // ids run from 0 to 2000: a quarter before the table, a quarter behind it

struct Ids {
  const char* name;
  at::Tensor values;  // int32
};

std::vector<Ids> distributions(int64_t count) {
  const auto options = on_device(at::kInt);
  auto zipf = (at::rand({count}, on_device(at::kDouble)).pow(4) * kTableRows).to(at::kInt) + kFirst;
  return {{"all the same", at::full({count}, kFirst + 7, options)},
          {"ascending", at::arange(count, options).remainder(2 * kTableRows)},
          {"uniform", at::randint(2 * kTableRows, {count}, options)},
          {"a few frequent ones", at::randint(kFirst + 3, kFirst + 6, {count}, options)},
          {"most in the first rows", zipf},
          {"none in the table", at::full({count}, 3, options)},
          {"negative and far", at::randint(-5, 5, {count}, options) * (1 << 28)}};
}

at::Tensor local_of(const at::Tensor& ids) { return ids.to(at::kLong).view(-1) - kFirst; }

TEST(Embed, CopiesTheRowsOfTheTable) {
  for (const auto type : kComputeTypes) {
    for (const int64_t width : {1, 7, 8, 9, 33, 768, 776}) {
      const auto table = random_on_device({kTableRows, width}, type);
      for (const auto& ids : distributions(333)) {
        const auto out = embed(ids.values, table, kFirst, {}, {}, poison({333, width}, type));
        const auto local = local_of(ids.values), known = local.ge(0).logical_and(local.lt(kTableRows));
        const auto expected = table.index_select(0, local.clamp(0, kTableRows - 1)) * known.unsqueeze(-1).to(type);
        EXPECT_TRUE(at::equal(out, expected)) << type << ", width " << width << ", " << ids.name;
      }
    }
  }
}

TEST(Embed, AddsPositionsAndTakesShortIds) {
  for (const auto type : kComputeTypes) {
    for (const int64_t width : {7, 64, 776}) {
      const auto table = random_on_device({kTableRows, width}, type), places = random_on_device({40, width}, type);
      const auto ids = at::randint(kTableRows, {6, 31}, on_device(at::kInt));
      const auto positions = at::randint(40, {6, 31}, on_device(at::kInt));
      const auto tokens = table.to(at::kDouble).index_select(0, ids.view(-1).to(at::kLong)).view({6, 31, width});
      const auto rows = places.to(at::kDouble);
      const std::string what = std::string(at::toString(type)) + ", width " + std::to_string(width);
      const auto straight = embed(ids, table, 0, places, {}, poison({6, 31, width}, type));
      expect_close(straight, tokens + rows.narrow(0, 0, 31), tolerance_of(type), what + ", positions 0..T-1");
      expect_close(embed(ids, table, 0, places, positions),
                   tokens + rows.index_select(0, positions.view(-1).to(at::kLong)).view({6, 31, width}), tolerance_of(type),
                   what + ", given positions");
      EXPECT_TRUE(at::equal(embed(ids.to(at::kUInt16), table, 0, places), straight)) << what << ", uint16";
    }
  }
}

TEST(Embed, APositionOutsideTheTableDoesNotGoUnseen) {
  const auto table = random_on_device({9, 16}, at::kFloat), places = random_on_device({4, 16}, at::kFloat);
  auto positions = at::arange(3, on_device(at::kInt)).view({1, 3});
  positions[0][2] = 4;
  const auto out = embed(at::full({1, 3}, 2, on_device(at::kInt)), table, 0, places, positions);
  EXPECT_EQ(out.isnan().sum().item<int64_t>(), 16);
  EXPECT_EQ(out[0][2].isnan().sum().item<int64_t>(), 16);
}

TEST(EmbeddingGradient, EqualsTheSumInDoubleAndRepeatsItself) {
  for (const auto type : kComputeTypes) {
    for (const int64_t width : {1, 7, 8, 33, 768, 776, 2056}) {
      for (const int64_t count : {1, 31, 32, 33, 64, 65, 1000, 9001}) {
        const auto d = random_on_device({count, width}, type), start = random_on_device({kTableRows, width}, at::kFloat);
        for (const auto& ids : distributions(count)) {
          const std::string what = std::string(at::toString(type)) + ", width " + std::to_string(width) + ", " +
                                   std::to_string(count) + " rows, ids " + ids.name;
          const auto gradient = start.clone(), again = start.clone();
          add_embedding_gradient(ids.values, d, gradient, kFirst);
          const auto local = local_of(ids.values), kept = local.ge(0).logical_and(local.lt(kTableRows)).nonzero().view(-1);
          const auto expected =
              start.to(at::kDouble).index_add_(0, local.index_select(0, kept), d.to(at::kDouble).index_select(0, kept));
          expect_close(gradient, expected, 1e-5, what);
          add_embedding_gradient(ids.values, d, again, kFirst);
          EXPECT_TRUE(at::equal(again, gradient)) << what << ": another sum in a second run";
        }
      }
    }
  }
}

TEST(EmbeddingGradient, TakesShortIdsAndUnalignedRows) {
  const auto ids = at::randint(2 * kTableRows, {3000}, on_device(at::kInt));
  const auto d = random_on_device({3000, 64}, at::kBFloat16);
  const auto expected = at::zeros({kTableRows, 64}, on_device(at::kFloat)), gradient = at::zeros_like(expected);
  add_embedding_gradient(ids, d, expected, kFirst);
  add_embedding_gradient(ids.to(at::kUInt16), d, gradient, kFirst);
  EXPECT_TRUE(at::equal(gradient, expected));
  const auto moved = random_on_device({3000, 64}, at::kBFloat16, false);
  moved.copy_(d);
  gradient.zero_();
  add_embedding_gradient(ids, moved, gradient, kFirst);
  expect_close(gradient, expected, 1e-6, "not aligned");
}

TEST(EmbeddingGradient, OfPositionsSumsOverTheBatch) {
  for (const auto type : kComputeTypes) {
    for (const int64_t width : {1, 7, 8, 768}) {
      for (const int64_t batch : {1, 3, 70}) {
        const auto d = random_on_device({batch, 17, width}, type), start = random_on_device({20, width}, at::kFloat);
        const auto gradient = start.clone();
        add_position_gradient(d, gradient);
        const auto expected = start.to(at::kDouble);
        expected.narrow(0, 0, 17).add_(d.to(at::kDouble).sum(0));
        expect_close(gradient, expected, 2e-6,
                     std::string(at::toString(type)) + ", width " + std::to_string(width) + ", batch " + std::to_string(batch));
      }
    }
  }
}

// Through autograd, as the reference path uses it.
TEST(EmbeddingFunction, AccumulatesIntoTheGivenGradient) {
  auto weight = random_on_device({50, 24}, at::kFloat).set_requires_grad(true);
  weight.mutable_grad() = at::zeros({50, 24}, on_device(at::kFloat));
  const auto ids = at::randint(60, {4, 9}, on_device(at::kInt));
  const auto y = lacuna::embedding(ids, weight, 5);
  const auto dy = random_on_device({4, 9, 24}, at::kFloat);
  y.backward(dy);
  const auto expected = at::zeros({50, 24}, on_device(at::kFloat));
  add_embedding_gradient(ids, dy, expected, 5);
  EXPECT_TRUE(at::equal(weight.grad(), expected));
}

// Sort, pieces and join in a CUDA graph: nothing waits for the host.
TEST(EmbeddingGradient, CanBeCaptured) {
  const auto ids = at::randint(2 * kTableRows, {5000}, on_device(at::kInt));
  const auto d = random_on_device({5000, 768}, at::kBFloat16);
  const auto once = at::zeros({kTableRows, 768}, on_device(at::kFloat)), gradient = at::zeros_like(once);
  add_embedding_gradient(ids, d, once, kFirst);
  c10::cuda::device_synchronize();
  at::cuda::CUDAGraph graph;
  {
    const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool());
    graph.capture_begin();
    add_embedding_gradient(ids, d, gradient, kFirst);
    graph.capture_end();
  }
  EXPECT_EQ(gradient.count_nonzero().item<int64_t>(), 0) << "a capture runs nothing";
  graph.replay();
  c10::cuda::device_synchronize();
  EXPECT_TRUE(at::equal(gradient, once));
}

}  // namespace
}  // namespace lacuna
