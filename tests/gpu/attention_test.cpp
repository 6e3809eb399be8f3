// cuDNN's attention on packed buffers against the plain formula in double precision.
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/softmax.h>
#include <c10/cuda/CUDAStream.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "tests/support/device_compare.h"
#include "trainer/kernels/attention_cuda.h"

namespace lacuna {
namespace {

using cuda::Attention;
using cuda::AttentionInputs;
using cuda::AttentionShape;
using testing::expect_close;
using testing::poison;
using testing::random_on_device;

constexpr double kTolerance = 1e-2;  // probabilities and the gradients of scores are rounded to bf16 on the way

std::string name(const AttentionShape& s, const std::string& part) {
  std::ostringstream text;
  text << part << ", (B " << s.batch << ", T " << s.length << ", H " << s.num_heads << ", K " << s.num_kv_heads << ", d "
       << s.head_size << "), " << (s.causal ? "causal" : "full") << ", window " << s.window << ", stride "
       << s.stride << (s.deterministic ? ", deterministic" : "");
  return text.str();
}

int64_t packed_width(const AttentionShape& s) { return (s.num_heads + 2 * s.num_kv_heads) * s.head_size; }
cudaStream_t stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

// (B, T, width) of a buffer whose positions lie s.stride elements apart.
at::Tensor packed_view(const at::Tensor& buffer, const AttentionShape& s) { return buffer.narrow(-1, 0, packed_width(s)); }
at::Tensor packed_buffer(const AttentionShape& s) {
  return random_on_device({s.batch, s.length, s.stride == 0 ? packed_width(s) : s.stride}, at::kBFloat16);
}

struct Expected {
  at::Tensor out, log_sums;
};
Expected formula(const at::Tensor& packed, const AttentionShape& s) {
  const auto heads = [&](int64_t first, int64_t count) {
    const auto part = packed.narrow(2, first * s.head_size, count * s.head_size);
    const auto split = part.reshape({s.batch, s.length, count, s.head_size}).transpose(1, 2);
    return at::repeat_interleave(split, s.num_heads / count, 1);
  };
  const auto q = heads(0, s.num_heads), k = heads(s.num_heads, s.num_kv_heads),
             v = heads(s.num_heads + s.num_kv_heads, s.num_kv_heads);
  auto scores = at::matmul(q, k.transpose(-1, -2)) / std::sqrt(static_cast<double>(s.head_size));
  if (s.causal) {
    const auto position = at::arange(s.length, packed.options().dtype(at::kLong));
    const auto behind = position.unsqueeze(1) - position.unsqueeze(0);  // of the query, how far the key lies
    auto hidden = behind.lt(0);
    if (s.window > 0) hidden = hidden.logical_or(behind.ge(s.window));
    scores = scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  }
  const auto out = at::matmul(at::softmax(scores, -1), v).transpose(1, 2).reshape({s.batch, s.length, s.num_heads * s.head_size});
  return {out, at::logsumexp(scores, {-1}).squeeze(-1)};
}

struct Result {
  at::Tensor out, log_sums, gradient;
};
Result run(Attention& attention, const AttentionShape& s, const at::Tensor& packed, const at::Tensor& out_gradient) {
  const int64_t out_width = s.num_heads * s.head_size;
  const auto workspace = poison({attention.workspace_bytes(s) / 4 + 1}, at::kFloat);
  const AttentionInputs inputs{.packed = packed.data_ptr(), .documents = {}, .scores = nullptr};
  Result result{.out = poison({s.batch, s.length, out_width}, at::kBFloat16),
                .log_sums = poison({s.batch, s.num_heads, s.length}, at::kFloat),
                .gradient = poison(packed.sizes(), at::kBFloat16)};
  attention.forward(s, inputs, result.out.data_ptr(), result.log_sums.data_ptr<float>(), workspace.data_ptr(),
                    stream());
  workspace.fill_(std::nan(""));
  attention.backward(s, inputs, result.out.data_ptr(), result.log_sums.data_ptr<float>(), out_gradient.data_ptr(),
                     result.gradient.data_ptr(), workspace.data_ptr(), stream());
  return result;
}

void check(Attention& attention, const AttentionShape& s) {
  const auto refusal = attention.refusal(s);
  ASSERT_EQ(refusal, "") << name(s, "refused");
  const auto packed = packed_buffer(s);
  const auto out_gradient = random_on_device({s.batch, s.length, s.num_heads * s.head_size}, at::kBFloat16);
  const auto result = run(attention, s, packed, out_gradient);

  const auto leaf = packed_view(packed, s).to(at::kDouble).detach().set_requires_grad(true);
  const auto expected = formula(leaf, s);
  expected.out.backward(out_gradient.to(at::kDouble));
  expect_close(result.out, expected.out, kTolerance, name(s, "output"));
  expect_close(result.log_sums, expected.log_sums, 1e-3, name(s, "log sums"));
  const auto gradient = packed_view(result.gradient, s);
  const int64_t q = s.num_heads * s.head_size, kv = s.num_kv_heads * s.head_size;
  const auto part = [&](const char* what, int64_t first, int64_t width) {
    expect_close(gradient.narrow(2, first, width), leaf.grad().narrow(2, first, width), kTolerance, name(s, what));
  };
  part("gradient of queries", 0, q);
  part("gradient of keys", q, kv);
  part("gradient of values", q + kv, kv);
  const int64_t beside = packed.size(2) - packed_width(s);
  EXPECT_TRUE(result.gradient.narrow(2, packed_width(s), beside).isnan().all().item<bool>()) << name(s, "beside the heads");
}

TEST(Attention, CausalAndFullOfManyShapes) {
  Attention attention;
  for (const bool causal : {true, false}) {
    for (const int64_t head_size : {64, 128}) {
      for (const int64_t length : {64, 100, 129, 257, 1024}) {
        for (const int64_t kv_heads : {4, 2, 1}) {
          check(attention,
                {.batch = 2, .length = length, .num_heads = 4, .num_kv_heads = kv_heads, .head_size = head_size, .causal = causal});
        }
      }
    }
  }
}

TEST(Attention, OfTheModelsThatAreTrained) {
  Attention attention;
  check(attention, {.batch = 2, .length = 1024, .num_heads = 12, .num_kv_heads = 12, .head_size = 64});
  check(attention, {.batch = 1, .length = 1024, .num_heads = 25, .num_kv_heads = 25, .head_size = 64});
  check(attention, {.batch = 2, .length = 1024, .num_heads = 14, .num_kv_heads = 2, .head_size = 64});
  check(attention,
        {.batch = 2, .length = 512, .num_heads = 12, .num_kv_heads = 12, .head_size = 64, .causal = false});
}

TEST(Attention, SlidingWindowCountsTheQueryItself) {
  Attention attention;
  for (const int64_t window : {2, 33, 128, 300, 5000}) {  // of one position the gradients are zero, and all is rounding
    for (const int64_t length : {100, 300}) {
      check(attention, {.batch = 2, .length = length, .num_heads = 4, .num_kv_heads = 2, .head_size = 64, .window = window});
    }
  }
}

TEST(Attention, LeavesWhatLiesBesideThePackedHeads) {
  Attention attention;
  check(attention, {.batch = 2, .length = 130, .num_heads = 4, .num_kv_heads = 2, .head_size = 64, .stride = 8 * 64 + 24});
}

TEST(Attention, DeterministicBackwardRepeatsItsBits) {
  Attention attention;
  const AttentionShape s{.batch = 4, .length = 1024, .num_heads = 8, .num_kv_heads = 4, .head_size = 64, .deterministic = true};
  check(attention, s);
  const auto packed = packed_buffer(s),
             out_gradient = random_on_device({s.batch, s.length, s.num_heads * s.head_size}, at::kBFloat16);
  const auto first = run(attention, s, packed, out_gradient);
  for (int i = 0; i < 5; ++i) {
    const auto again = run(attention, s, packed, out_gradient);
    EXPECT_TRUE(at::equal(first.out, again.out)) << "repeat " << i;
    EXPECT_TRUE(at::equal(first.gradient, again.gradient)) << "repeat " << i;
  }
}

TEST(Attention, SaysWhyItRefuses) {
  Attention attention;
  const auto expect_refusal = [&](AttentionShape s, const std::string& why) {
    EXPECT_NE(attention.refusal(s).find(why), std::string::npos) << attention.refusal(s) << "; expected: " << why;
    EXPECT_FALSE(attention.supports(s));
  };
  const AttentionShape good{.batch = 1, .length = 64, .num_heads = 4, .num_kv_heads = 4, .head_size = 64};
  EXPECT_TRUE(attention.supports(good)) << attention.refusal(good);
  auto s = good;
  s.documents = 8, s.scores = true, expect_refusal(s, "not both");
  s = good, s.causal = false, s.window = 4, expect_refusal(s, "window");
  s = good, s.num_kv_heads = 3, expect_refusal(s, "divide");
  s = good, s.head_size = 20, expect_refusal(s, "head size");
  s = good, s.stride = 64, expect_refusal(s, "stride");
}

}  // namespace
}  // namespace lacuna
