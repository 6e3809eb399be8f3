// cuDNN's attention on packed buffers beside ATen's two fused backends, whose backward leaves three gradients to be joined.
#include <ATen/ops/_scaled_dot_product_cudnn_attention.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention_backward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAStream.h>

#include <sstream>

#include "data/documents.h"
#include "tests/bench/gpu/rows.h"
#include "trainer/kernels/attention_cuda.h"
#include "trainer/model/attention_pattern.h"
#include "trainer/model/packed_pattern.h"

namespace lacuna::bench {
namespace {

using cuda::Attention;
using cuda::AttentionShape;

at::TensorOptions options(at::ScalarType type = at::kBFloat16) { return at::TensorOptions().device(at::kCUDA).dtype(type); }

std::string name(const AttentionShape& s) {
  std::ostringstream text;
  text << "attention (" << s.batch << ", " << s.num_heads << "/" << s.num_kv_heads << ", " << s.length << ", " << s.head_size
       << ")";
  return text.str();
}

// Queries, keys and values of ATen: views (B, H, T, d) of the packed buffer, with key and value heads repeated beforehand.
struct Views {
  Views(const at::Tensor& packed, const AttentionShape& s) {
    const auto heads = [&](int64_t first, int64_t count) {
      const auto part = packed.narrow(2, first * s.head_size, count * s.head_size);
      const auto split = part.view({s.batch, s.length, count, s.head_size}).transpose(1, 2);
      return count == s.num_heads ? split : at::repeat_interleave(split, s.num_heads / count, 1);
    };
    q = heads(0, s.num_heads);
    k = heads(s.num_heads, s.num_kv_heads);
    v = heads(s.num_heads + s.num_kv_heads, s.num_kv_heads);
  }
  at::Tensor q, k, v;
};

void rows(Table& table, Attention& attention, const AttentionShape& s) {
  if (!attention.supports(s)) return table.note(name(s) + " is refused: " + attention.refusal(s));
  const auto stream = c10::cuda::getCurrentCUDAStream().stream();
  const int64_t width = (s.num_heads + 2 * s.num_kv_heads) * s.head_size;
  const auto packed = at::randn({s.batch, s.length, width}, options()), gradient = at::empty_like(packed);
  const auto out = at::empty({s.batch, s.length, s.num_heads * s.head_size}, options()), out_gradient = at::randn_like(out);
  const auto log_sums = at::empty({s.batch, s.num_heads, s.length}, options(at::kFloat));
  const auto workspace = at::empty({attention.workspace_bytes(s) + 1}, options(at::kByte));
  const cuda::AttentionInputs inputs{.packed = packed.data_ptr(), .documents = {}, .scores = nullptr};
  // Half of the scores are seen, two products forward and five backward.
  const double flops = 2.0 * s.batch * s.num_heads * s.length * s.length * s.head_size;
  const auto forward = [&] {
    attention.forward(s, inputs, out.data_ptr(), log_sums.data_ptr<float>(), workspace.data_ptr(), stream);
  };
  const auto backward = [&] {
    attention.backward(s, inputs, out.data_ptr(), log_sums.data_ptr<float>(), out_gradient.data_ptr(), gradient.data_ptr(),
                       workspace.data_ptr(), stream);
  };
  forward();
  const Views views(packed, s);
  const auto d_out = out_gradient.view({s.batch, s.length, s.num_heads, s.head_size}).transpose(1, 2);
  const auto cudnn = [&] {
    return at::_scaled_dot_product_cudnn_attention(views.q, views.k, views.v, std::nullopt, true, 0.0, true);
  };
  const auto flash = [&] { return at::_scaled_dot_product_flash_attention(views.q, views.k, views.v, 0.0, true); };
  const auto [co, cl, cq, ck, cmq, cmk, cseed, coffset, cd] = cudnn();
  const auto [fo, fl, fq, fk, fmq, fmk, fstate, funused, fd] = flash();
  const Views gradients(gradient, s);
  // What ATen's gradients need to lie where ours do; groups of heads are left out.
  const auto join = [&](const std::tuple<at::Tensor, at::Tensor, at::Tensor>& d) {
    if (s.num_heads != s.num_kv_heads) return;
    gradients.q.copy_(std::get<0>(d)), gradients.k.copy_(std::get<1>(d)), gradients.v.copy_(std::get<2>(d));
  };
  // Structured bindings cannot be captured by reference in every compiler: these are copies.
  const auto cudnn_backward = [&, o = co, l = cl, q = cq, k = ck, seed = cseed, offset = coffset] {
    join(at::_scaled_dot_product_cudnn_attention_backward(d_out, views.q, views.k, views.v, o, l, seed, offset, at::Tensor(), q,
                                                          k, s.length, s.length, 0.0, true));
  };
  const auto flash_backward = [&, o = fo, l = fl, q = fq, k = fk, state = fstate, unused = funused] {
    join(at::_scaled_dot_product_flash_attention_backward(d_out, views.q, views.k, views.v, o, l, q, k, s.length, s.length, 0.0,
                                                          true, state, unused));
  };
  table.row(name(s) + " forward; ATen: cuDNN", {.flops = flops}, forward, [&] { cudnn(); });
  table.row(name(s) + " forward; ATen: flash", {.flops = flops}, forward, [&] { flash(); });
  table.row(name(s) + " backward; ATen: cuDNN", {.flops = 2.5 * flops}, backward, cudnn_backward);
  table.row(name(s) + " backward; ATen: flash", {.flops = 2.5 * flops}, backward, flash_backward);
  auto repeatable = s;
  repeatable.deterministic = true;
  if (!attention.supports(repeatable))
    return table.note(name(s) + ", deterministic, is refused: " + attention.refusal(repeatable));
  const auto more = at::empty({attention.workspace_bytes(repeatable) + 1}, options(at::kByte));
  table.row(name(s) + " backward, deterministic", {.flops = 2.5 * flops}, [&] {
    attention.backward(repeatable, inputs, out.data_ptr(), log_sums.data_ptr<float>(), out_gradient.data_ptr(),
                       gradient.data_ptr(), more.data_ptr(), stream);
  });
}

// The masks beyond a plain causal one, by whom a run takes and by ATen's memory-efficient attention, which reads the mask as
// numbers. Operations are counted for the pairs that are seen.
void mask_rows(Table& table, const PackedAttentionShape& heads, const AttentionRule& rule, const Batch& batch) {
  const int64_t rows = batch.rows(), length = batch.length();
  const int64_t num_documents = batch.documents.defined() ? batch.documents.size(0) - 1 : 0;
  const PackedPattern pattern(heads, rule, rows, length, batch.segments.defined(), num_documents);
  const auto allowed = allowed_pairs(rule.visibility, rule.window, batch);
  auto by_aten = heads;
  by_aten.cudnn = false;
  const bool plain = !batch.segments.defined() && rule.window == 0 && rule.visibility != Visibility::prefix;
  by_aten.causal = plain && rule.visibility == Visibility::causal;
  if (!plain) by_aten.scores = packed_scores(allowed);
  const auto ours = pattern.of(batch);
  const auto packed = at::randn({rows, length, (heads.num_heads + 2 * heads.num_kv_heads) * heads.head_size}, options());
  const auto d_out = at::randn({rows, length, heads.num_heads * heads.head_size}, options());
  const double pairs = allowed.sum().item<double>() * static_cast<double>(rows / allowed.size(0));
  const double flops = 4 * pairs * static_cast<double>(heads.num_heads * heads.head_size);
  std::ostringstream text;
  text << "attention (" << rows << ", " << heads.num_heads << "/" << heads.num_kv_heads << ", " << length << ", "
       << heads.head_size << "), " << in_words(rule, batch.segments.defined());
  table.note(text.str() + ": " + pattern.backend() + "; beside it ATen, memory-efficient");
  const auto forward = [packed](const PackedAttentionShape& shape) {
    return [packed, shape] {
      at::Tensor statistics;
      packed_attention(packed, shape, statistics);
    };
  };
  const auto backward = [packed, d_out](const PackedAttentionShape& shape) {
    at::Tensor statistics;
    const auto out = packed_attention(packed, shape, statistics);
    return [packed, d_out, shape, statistics, out] { packed_attention_gradient(d_out, packed, out, statistics, shape); };
  };
  table.row(text.str() + " forward", {.flops = flops}, forward(ours), forward(by_aten));
  table.row(text.str() + " backward", {.flops = 2.5 * flops}, backward(ours), backward(by_aten));
}

Batch masked_rows(int64_t rows, int64_t length) {
  Batch batch;
  batch.tokens = at::zeros({rows, length}, at::kInt);
  return batch;
}

// Two or three documents a row, of changing lengths.
Batch with_documents(int64_t rows, int64_t length) {
  auto batch = masked_rows(rows, length);
  batch.segments = at::zeros(batch.tokens.sizes(), at::kInt);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t first = 100 + row * 397 % (length - 200), second = first + (length - first) / (1 + row % 3);
    batch.segments[row].narrow(0, 0, first).fill_(1);
    batch.segments[row].narrow(0, first, second - first).fill_(2);
    batch.segments[row].narrow(0, second, length - second).fill_(3);
  }
  batch.documents = document_starts(batch.segments);
  return batch.to(at::kCUDA);
}

Batch with_prefix(int64_t rows, int64_t length) {
  auto batch = masked_rows(rows, length);
  batch.bidirectional = at::zeros(batch.tokens.sizes(), at::kBool);
  for (int64_t row = 0; row < rows; ++row) batch.bidirectional[row].narrow(0, 0, 100 + row * 397 % (length - 200)).fill_(true);
  return batch.to(at::kCUDA);
}

void every_mask(Table& table, const PackedAttentionShape& heads, int64_t rows, int64_t length) {
  const auto plain = masked_rows(rows, length).to(at::kCUDA);
  mask_rows(table, heads, {Visibility::causal, 0}, plain);
  mask_rows(table, heads, {Visibility::causal, 256}, plain);
  mask_rows(table, heads, {Visibility::causal, 0}, with_documents(rows, length));
  if (heads.head_size != 64) return;
  mask_rows(table, heads, {Visibility::full, 0}, plain);
  mask_rows(table, heads, {Visibility::causal, 256}, with_documents(rows, length));
  mask_rows(table, heads, {Visibility::full, 0}, with_documents(rows, length));
  mask_rows(table, heads, {Visibility::prefix, 0}, with_prefix(rows, length));
}

}  // namespace

void attention_rows(Table& table) {
  every_mask(table, {.num_heads = 12, .num_kv_heads = 12, .head_size = 64}, 64, 1024);
  every_mask(table, {.num_heads = 32, .num_kv_heads = 8, .head_size = 128}, 4, 4096);
  Attention attention;
  rows(table, attention, {.batch = 64, .length = 1024, .num_heads = 12, .num_kv_heads = 12, .head_size = 64});
  rows(table, attention, {.batch = 16, .length = 1024, .num_heads = 25, .num_kv_heads = 25, .head_size = 64});
  rows(table, attention, {.batch = 32, .length = 1024, .num_heads = 14, .num_kv_heads = 2, .head_size = 64});
}

}  // namespace lacuna::bench
