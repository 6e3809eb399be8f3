// Attention under every mask, by cuDNN and by ATen, against the plain formula in double precision.
#include "trainer/kernels/packed_attention.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>

#include "data/documents.h"
#include "tests/support/device_compare.h"
#include "trainer/model/attention_pattern.h"
#include "trainer/model/packed_pattern.h"

namespace lacuna {
namespace {

using testing::expect_close;
using testing::random_on_device;

constexpr double kTolerance = 1e-2;  // probabilities and the gradients of scores are rounded to bf16 on the way

struct Heads {
  int64_t queries, keys, size;
};
constexpr std::array<Heads, 4> kHeads{{{4, 4, 64}, {4, 2, 64}, {4, 4, 128}, {7, 1, 128}}};

std::string name(const AttentionRule& rule, const Batch& batch, const Heads& heads, const std::string& what) {
  std::ostringstream text;
  text << what << ": " << in_words(rule, batch.segments.defined()) << ", B " << batch.rows() << ", T " << batch.length() << ", "
       << heads.queries << "/" << heads.keys << " heads of " << heads.size;
  return text.str();
}

Batch rows_of(int64_t rows, int64_t length) {
  Batch batch;
  batch.tokens = at::zeros({rows, length}, at::kInt);
  return batch;
}

// A row for each list of the documents' lengths.
Batch with_documents(const std::vector<std::vector<int64_t>>& lengths, int64_t length) {
  auto batch = rows_of(static_cast<int64_t>(lengths.size()), length);
  batch.segments = at::zeros(batch.tokens.sizes(), at::kInt);
  for (size_t row = 0; row < lengths.size(); ++row) {
    int64_t begin = 0;
    int32_t number = 0;
    for (const int64_t n : lengths[row]) {
      batch.segments[static_cast<int64_t>(row)].narrow(0, begin, n).fill_(++number);
      begin += n;
    }
    EXPECT_EQ(begin, length);
  }
  batch.documents = document_starts(batch.segments);
  return batch;
}

at::Tensor formula(const at::Tensor& packed, const at::Tensor& allowed, const Heads& h) {
  const int64_t rows = packed.size(0), length = packed.size(1);
  const auto heads = [&](int64_t first, int64_t count) {
    const auto split = packed.narrow(2, first * h.size, count * h.size).reshape({rows, length, count, h.size}).transpose(1, 2);
    return at::repeat_interleave(split, h.queries / count, 1);
  };
  const auto q = heads(0, h.queries), k = heads(h.queries, h.keys), v = heads(h.queries + h.keys, h.keys);
  const auto scores = (at::matmul(q, k.transpose(-1, -2)) / std::sqrt(static_cast<double>(h.size)))
                          .masked_fill(allowed.logical_not(), -std::numeric_limits<double>::infinity());
  return at::matmul(at::softmax(scores, -1), v).transpose(1, 2).reshape({rows, length, h.queries * h.size});
}

// The gradient of one part, against that of the whole where all of its own is rounding.
void expect_part_close(const at::Tensor& got, const at::Tensor& expected, double whole, const std::string& what) {
  if (expected.norm().item<double>() > 1e-6 * whole) return expect_close(got, expected, kTolerance, what);
  EXPECT_LT(got.to(at::kDouble).norm().item<double>(), 1e-3 * whole) << what << ", where nothing is to be";
}

void check(const PackedAttentionShape& shape, const AttentionRule& rule, const Batch& batch, const Heads& heads,
           const std::string& who) {
  const auto packed =
      random_on_device({batch.rows(), batch.length(), (heads.queries + 2 * heads.keys) * heads.size}, at::kBFloat16);
  const auto d_out = random_on_device({batch.rows(), batch.length(), heads.queries * heads.size}, at::kBFloat16);
  at::Tensor statistics;
  const auto out = packed_attention(packed, shape, statistics);
  const auto gradient = packed_attention_gradient(d_out, packed, out, statistics, shape);

  const auto leaf = packed.to(at::kDouble).set_requires_grad(true);
  const auto expected = formula(leaf, allowed_pairs(rule.visibility, rule.window, batch), heads);
  expected.backward(d_out.to(at::kDouble));
  expect_close(out, expected, kTolerance, name(rule, batch, heads, who + ", output"));
  const double whole = leaf.grad().norm().item<double>();
  const auto part = [&](const char* what, int64_t first, int64_t count) {
    expect_part_close(gradient.narrow(2, first * heads.size, count * heads.size),
                      leaf.grad().narrow(2, first * heads.size, count * heads.size), whole, name(rule, batch, heads, who + what));
  };
  part(", gradient of queries", 0, heads.queries);
  part(", gradient of keys", heads.queries, heads.keys);
  part(", gradient of values", heads.queries + heads.keys, heads.keys);
}

PackedAttentionShape shape_of(const Heads& heads, bool deterministic = false) {
  return {.num_heads = heads.queries, .num_kv_heads = heads.keys, .head_size = heads.size, .deterministic = deterministic};
}

// By whom a run would have it done, which is to be cuDNN, and by ATen.
void check(const AttentionRule& rule, const Batch& on_host, const Heads& heads, bool deterministic = false) {
  auto batch = on_host.to(at::kCUDA);
  const int64_t num_documents = batch.documents.defined() ? batch.documents.size(0) - 1 : 0;
  const PackedPattern pattern(shape_of(heads, deterministic), rule, batch.rows(), batch.length(), batch.segments.defined(),
                              num_documents);
  EXPECT_EQ(pattern.backend().substr(0, 5), "cuDNN") << name(rule, batch, heads, pattern.backend());
  check(pattern.of(batch), rule, batch, heads, pattern.backend());
  if (deterministic) return;
  auto by_aten = shape_of(heads);
  by_aten.cudnn = false;
  by_aten.causal = false;
  by_aten.scores = packed_scores(allowed_pairs(rule.visibility, rule.window, batch));
  check(by_aten, rule, batch, heads, "ATen");
}

TEST(PackedAttention, DocumentsSeeThemselvesAlone) {
  for (const auto& heads : kHeads) {
    check({Visibility::causal, 0}, with_documents({{256}, {100, 156}, {1, 1, 1, 253}, {255, 1}}, 256), heads);
    check({Visibility::causal, 0}, with_documents({{101}, {1, 99, 1}, {64, 37}}, 101), heads);
    check({Visibility::full, 0}, with_documents({{101}, {1, 99, 1}, {64, 37}}, 101), heads);
  }
  check({Visibility::causal, 0}, with_documents({{1024}, {1, 1000, 23}, {128, 128, 768}, {513, 511}}, 1024), {12, 12, 64});
}

// Short documents as runs, for which there is a kernel of its own.
TEST(PackedAttention, RunsSeeThemselvesAlone) {
  const std::vector<std::vector<int64_t>> lengths{{32, 1, 1, 5, 2, 9, 7, 40}, {3, 3, 3, 3, 3, 3, 3, 76}, {97}};
  for (const Heads& heads : {Heads{4, 4, 8}, Heads{8, 8, 24}, Heads{3, 3, 40}, Heads{2, 2, 64}}) {
    for (const auto visibility : {Visibility::causal, Visibility::full}) {
      const auto batch = with_documents(lengths, 97).to(at::kCUDA);
      const auto bounds = batch.documents.cpu().to(at::kLong), first = at::empty({3 * 97}, at::kLong), end = at::empty_like(first);
      for (int64_t i = 0; i + 1 < bounds.size(0); ++i) {
        const int64_t from = bounds[i].item<int64_t>(), to = bounds[i + 1].item<int64_t>();
        first.narrow(0, from, to - from).fill_(from);
        end.narrow(0, from, to - from).fill_(to);
      }
      auto shape = shape_of(heads);
      shape.causal = visibility == Visibility::causal;
      shape.run_first = first.to(at::kCUDA);
      shape.run_end = end.to(at::kCUDA);
      check(shape, {visibility, 0}, batch, heads, "runs");
    }
  }
}

TEST(PackedAttention, DocumentsOfOneTokenAndWholeRows) {
  const std::vector<int64_t> ones(130, 1);
  check({Visibility::causal, 0}, with_documents({ones, ones, ones}, 130), {4, 2, 64});
  check({Visibility::causal, 0}, with_documents({{130}, {130}}, 130), {4, 4, 64});
  check({Visibility::causal, 0}, with_documents({ones, {130}, {3, 127}}, 130), {4, 4, 128});
}

TEST(PackedAttention, ASlidingWindow) {
  for (const auto& heads : {kHeads[1], kHeads[2]}) {  // every shape is a plan of its own, which takes a second
    for (const int64_t length : {101, 256}) {
      for (const int64_t window : {int64_t{1}, int64_t{7}, length}) {
        check({Visibility::causal, window}, rows_of(2, length), heads);
      }
      check({Visibility::causal, 7}, with_documents({{length}, {30, length - 30}, {3, length - 4, 1}}, length), heads);
      check({Visibility::causal, 1}, with_documents({{length}, {30, length - 30}}, length), heads);
    }
  }
}

TEST(PackedAttention, APrefixIsSeenFromAllOfIt) {
  for (const auto& heads : {kHeads[1], kHeads[2]}) {
    for (const int64_t length : {101, 256}) {
      auto batch = rows_of(4, length);
      batch.bidirectional = at::zeros(batch.tokens.sizes(), at::kBool);
      batch.bidirectional[1].narrow(0, 0, 1).fill_(true);
      batch.bidirectional[2].narrow(0, 0, length / 3).fill_(true);
      batch.bidirectional[3].fill_(true);
      check({Visibility::prefix, 0}, batch, heads);
      auto of_documents = with_documents({{length}, {40, length - 40}, {length - 1, 1}, {1, length - 1}}, length);
      of_documents.bidirectional = batch.bidirectional;
      check({Visibility::prefix, 0}, of_documents, heads);
    }
  }
}

TEST(PackedAttention, GradientsRepeatTheirBitsWhereAsked) {
  const Heads heads{8, 4, 64};
  auto prefix = rows_of(3, 512);
  prefix.bidirectional = at::zeros(prefix.tokens.sizes(), at::kBool);
  prefix.bidirectional.narrow(1, 0, 200).fill_(true);
  const std::vector<std::pair<AttentionRule, Batch>> cases{
      {{Visibility::causal, 0}, with_documents({{512}, {100, 412}, {1, 1, 510}}, 512)},
      {{Visibility::causal, 100}, rows_of(3, 512)},
      {{Visibility::causal, 100}, with_documents({{512}, {100, 412}, {1, 1, 510}}, 512)},
      {{Visibility::prefix, 0}, prefix}};
  for (const auto& [rule, on_host] : cases) {
    check(rule, on_host, heads, /*deterministic=*/true);
    const auto batch = on_host.to(at::kCUDA);
    const PackedPattern pattern(shape_of(heads, true), rule, 3, 512, batch.segments.defined(),
                                batch.documents.defined() ? batch.documents.size(0) - 1 : 0);
    const auto shape = pattern.of(batch);
    const auto packed = random_on_device({3, 512, 16 * 64}, at::kBFloat16),
               d_out = random_on_device({3, 512, 8 * 64}, at::kBFloat16);
    at::Tensor statistics;
    const auto out = packed_attention(packed, shape, statistics);
    const auto first = packed_attention_gradient(d_out, packed, out, statistics, shape);
    for (int i = 0; i < 5; ++i) {
      at::Tensor again_statistics;
      EXPECT_TRUE(at::equal(packed_attention(packed, shape, again_statistics), out)) << name(rule, batch, heads, "output");
      EXPECT_TRUE(at::equal(packed_attention_gradient(d_out, packed, out, statistics, shape), first))
          << name(rule, batch, heads, "gradient, repeat ") << i;
    }
  }
}

// More room than documents, as a run has it.
TEST(PackedAttention, RoomForMoreDocumentsChangesNothing) {
  const Heads heads{4, 2, 64};
  auto batch = with_documents({{256}, {100, 156}, {1, 1, 1, 253}}, 256);
  const AttentionRule rule{Visibility::causal, 0};
  const auto packed = random_on_device({3, 256, 8 * 64}, at::kBFloat16),
             d_out = random_on_device({3, 256, 4 * 64}, at::kBFloat16);
  const auto run = [&](int64_t room) {
    auto roomy = batch;
    roomy.documents = with_room(batch.documents, room);
    const PackedPattern pattern(shape_of(heads, true), rule, 3, 256, true, room - 1);
    const auto shape = pattern.of(roomy.to(at::kCUDA));
    at::Tensor statistics;
    const auto out = packed_attention(packed, shape, statistics);
    return std::pair(out, packed_attention_gradient(d_out, packed, out, statistics, shape));
  };
  const auto [out, gradient] = run(batch.documents.size(0));
  for (const int64_t room : {65, 257}) {
    const auto [roomy_out, roomy_gradient] = run(room);
    EXPECT_TRUE(at::equal(roomy_out, out)) << room;
    EXPECT_TRUE(at::equal(roomy_gradient, gradient)) << room;
  }
}

TEST(PackedAttention, PaddingIsComputedToo) {
  const Heads heads{4, 4, 64};
  auto batch = with_documents({{60, 40}, {70, 30}}, 100);
  batch.segments[0].narrow(0, 60, 40).zero_();
  batch.documents = document_starts(batch.segments);
  const PackedPattern pattern(shape_of(heads), {}, 2, 100, true, batch.documents.size(0) - 1);
  const auto shape = pattern.of(batch.to(at::kCUDA));
  const auto packed = random_on_device({2, 100, 12 * 64}, at::kBFloat16),
             d_out = random_on_device({2, 100, 4 * 64}, at::kBFloat16);
  at::Tensor statistics;
  const auto out = packed_attention(packed, shape, statistics);
  EXPECT_TRUE(out.isfinite().all().item<bool>());
  EXPECT_TRUE(packed_attention_gradient(d_out, packed, out, statistics, shape).isfinite().all().item<bool>());
}

}  // namespace
}  // namespace lacuna
