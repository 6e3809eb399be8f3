#include "trainer/kernels/rotary.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randint.h>

#include "tests/support/device_compare.h"
#include "tests/support/expect_error.h"

namespace lacuna {
namespace {

using namespace testing;

struct Case {
  int64_t batch, length, heads, kv_heads, head_size;
};

// The query and key heads through the composition in double, the value heads as they are.
at::Tensor in_double(const at::Tensor& qkv, const Case& c, const at::Tensor& positions, double base) {
  const auto heads = qkv.to(at::kDouble).view({c.batch, c.length, c.heads + 2 * c.kv_heads, c.head_size});
  const auto turned = heads.narrow(2, 0, c.heads + c.kv_heads).transpose(1, 2);
  const auto result = rotary(turned, rotary_angles(positions, c.head_size, base)).transpose(1, 2);
  return at::cat({result, heads.narrow(2, c.heads + c.kv_heads, c.kv_heads)}, 2).view(qkv.sizes());
}

void check(const Case& c, at::ScalarType type, bool given_positions, bool aligned = true) {
  constexpr double kBase = 10000;
  constexpr int64_t kPositions = 3000;
  const std::string what = std::string(at::toString(type)) + ", B " + std::to_string(c.batch) + ", T " +
                           std::to_string(c.length) + ", heads " + std::to_string(c.heads) + " + 2 * " +
                           std::to_string(c.kv_heads) + ", d " + std::to_string(c.head_size) +
                           (given_positions ? ", positions" : "") + (aligned ? "" : ", not aligned");
  const int64_t width = (c.heads + 2 * c.kv_heads) * c.head_size;
  const auto table = rotary_table(kPositions, c.head_size, kBase, at::kCUDA);
  const auto qkv = random_on_device({c.batch, c.length, width}, type, aligned);
  const auto before = qkv.clone();
  at::Tensor positions;
  if (given_positions) positions = at::randint(kPositions, {c.batch, c.length}, on_device(at::kInt));
  turn_heads(qkv, c.heads, c.kv_heads, table, positions);
  const auto at_positions = given_positions ? positions : at::arange(c.length, on_device(at::kInt));
  expect_close(qkv, in_double(before, c, at_positions, kBase), tolerance_of(type), what);
  const int64_t values = c.kv_heads * c.head_size;
  EXPECT_TRUE(at::equal(qkv.narrow(2, width - values, values), before.narrow(2, width - values, values))) << what << ": values";
  turn_heads(qkv, c.heads, c.kv_heads, table, positions, /*inverse=*/true);
  expect_close(qkv, before, 2 * tolerance_of(type), what + ", turned back");
}

TEST(TurnHeads, EqualsTheCompositionInDouble) {
  for (const auto type : kComputeTypes) {
    for (const int64_t head_size : {2, 6, 8, 16, 32, 34, 48, 64, 80, 96, 128, 256, 512, 528, 1056}) {
      check({2, 9, 3, 1, head_size}, type, false);
      check({1, 33, 1, 1, head_size}, type, true);
    }
    check({3, 70, 14, 2, 64}, type, true);
    check({2, 1024, 12, 2, 128}, type, false);
    check({2, 17, 12, 12, 64}, type, true);
    check({2, 17, 12, 12, 64}, type, true, false);
    check({1, 1, 1, 0, 64}, type, false);
  }
}

TEST(TurnHeads, APositionOutsideTheTableDoesNotGoUnseen) {
  const auto table = rotary_table(8, 16, 10000, at::kCUDA);
  for (const int64_t bad : {-1, 8, 1 << 30}) {
    const auto qkv = random_on_device({1, 3, 3 * 16}, at::kBFloat16);
    auto positions = at::arange(3, on_device(at::kInt)).view({1, 3});
    positions[0][1] = bad;
    turn_heads(qkv, 1, 1, table, positions);
    const auto lost = qkv.isnan().view({3, 3, 16}).sum(2);
    EXPECT_EQ(lost[1][0].item<int64_t>(), 16) << bad;
    EXPECT_EQ(lost.sum().item<int64_t>(), 32) << bad << ": one token's query and key heads\n" << lost;
  }
}

TEST(TurnHeads, AShortTableIsRefused) {
  const auto table = rotary_table(8, 16, 10000, at::kCUDA);
  const auto qkv = random_on_device({1, 9, 3 * 16}, at::kFloat);
  expect_error(ExitCode::internal, "the table is shorter than the rows", [&] { turn_heads(qkv, 1, 1, table); });
}

}  // namespace
}  // namespace lacuna
