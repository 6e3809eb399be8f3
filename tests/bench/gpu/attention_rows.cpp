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
#include <c10/cuda/CUDAStream.h>

#include <sstream>

#include "tests/bench/gpu/rows.h"
#include "trainer/kernels/attention_cuda.h"

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
  // Half of the scores are seen, two products forward and five backward.
  const double flops = 2.0 * s.batch * s.num_heads * s.length * s.length * s.head_size;
  const auto forward = [&] {
    attention.forward(s, packed.data_ptr(), out.data_ptr(), log_sums.data_ptr<float>(), workspace.data_ptr(), stream);
  };
  const auto backward = [&] {
    attention.backward(s, packed.data_ptr(), out.data_ptr(), log_sums.data_ptr<float>(), out_gradient.data_ptr(),
                       gradient.data_ptr(), workspace.data_ptr(), stream);
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
    attention.backward(repeatable, packed.data_ptr(), out.data_ptr(), log_sums.data_ptr<float>(), out_gradient.data_ptr(),
                       gradient.data_ptr(), more.data_ptr(), stream);
  });
}

}  // namespace

void attention_rows(Table& table) {
  Attention attention;
  rows(table, attention, {.batch = 64, .length = 1024, .num_heads = 12, .num_kv_heads = 12, .head_size = 64});
  rows(table, attention, {.batch = 16, .length = 1024, .num_heads = 25, .num_kv_heads = 25, .head_size = 64});
  rows(table, attention, {.batch = 32, .length = 1024, .num_heads = 14, .num_kv_heads = 2, .head_size = 64});
}

}  // namespace lacuna::bench
