#include "trainer/kernels/packed_attention.h"

#include "data/error.h"
#ifdef LACUNA_CUDA
#include <ATen/ops/_scaled_dot_product_efficient_attention.h>
#include <ATen/ops/_scaled_dot_product_efficient_attention_backward.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <c10/cuda/CUDAStream.h>

#include "trainer/kernels/attention_cuda.h"
#include "trainer/kernels/run_attention_cuda.h"
#include "trainer/kernels/tensor_checks.h"
#endif

namespace lacuna {

#ifdef LACUNA_CUDA
namespace {

constexpr double kUnseen = -1e9;  // finite: a row of a tile with nothing else must not become NaN

cuda::AttentionShape cudnn_shape(const PackedAttentionShape& s, int64_t rows, int64_t length, int64_t num_documents,
                                 bool scores) {
  return {.batch = rows,
          .length = length,
          .num_heads = s.num_heads,
          .num_kv_heads = s.num_kv_heads,
          .head_size = s.head_size,
          .causal = s.causal,
          .window = s.window,
          .documents = num_documents,
          .scores = scores,
          .deterministic = s.deterministic};
}
cuda::AttentionShape cudnn_shape(const at::Tensor& qkv, const PackedAttentionShape& s) {
  return cudnn_shape(s, qkv.size(0), qkv.size(1), s.lengths.defined() ? s.lengths.size(0) : 0, s.scores.defined());
}

cuda::AttentionInputs cudnn_inputs(const at::Tensor& qkv, const PackedAttentionShape& s) {
  cuda::AttentionInputs inputs{.packed = qkv.const_data_ptr(), .documents = {}, .scores = nullptr};
  if (s.scores.defined()) inputs.scores = s.scores.const_data_ptr();
  if (s.lengths.defined()) {
    inputs.documents = {.lengths = s.lengths.const_data_ptr<int32_t>(),
                        .packed = s.packed_places.const_data_ptr<int64_t>(),
                        .out = s.out_places.const_data_ptr<int64_t>(),
                        .log_sums = s.statistics_places.const_data_ptr<int64_t>()};
  }
  return inputs;
}

at::Tensor workspace_for(const cuda::AttentionShape& shape, const at::Tensor& like) {
  return at::empty({cuda::process_attention().workspace_bytes(shape)}, like.options().dtype(at::kByte));
}

// Queries, keys and values (B, H, T, d) as ATen takes them, keys and values repeated to all heads of their group.
struct Heads {
  at::Tensor q, k, v;
  Heads(const at::Tensor& qkv, const PackedAttentionShape& s) {
    const auto heads = [&](int64_t first, int64_t count) {
      const auto part = qkv.narrow(2, first * s.head_size, count * s.head_size);
      return part.view({qkv.size(0), qkv.size(1), count, s.head_size}).transpose(1, 2);
    };
    const auto spread = [&](const at::Tensor& x) {
      const int64_t group = s.num_heads / s.num_kv_heads;
      if (group == 1) return x;
      return x.unsqueeze(2).expand({x.size(0), x.size(1), group, x.size(2), x.size(3)}).reshape(q.sizes());
    };
    q = heads(0, s.num_heads);
    k = spread(heads(s.num_heads, s.num_kv_heads));
    v = spread(heads(s.num_heads + s.num_kv_heads, s.num_kv_heads));
  }
};

std::optional<at::Tensor> added_scores(const at::Tensor& q, const PackedAttentionShape& s) {
  if (!s.scores.defined()) return std::nullopt;
  return s.scores.expand({q.size(0), q.size(1), q.size(2), q.size(2)});
}

at::Tensor aten_attention(const at::Tensor& qkv, const PackedAttentionShape& s, at::Tensor& statistics) {
  const Heads h(qkv, s);
  const auto [out, log_sums, seed, offset] = at::_scaled_dot_product_efficient_attention(
      h.q, h.k, h.v, added_scores(h.q, s), /*compute_log_sumexp=*/true, 0.0, s.causal);
  statistics = log_sums;
  return out.transpose(1, 2).reshape({qkv.size(0), qkv.size(1), -1});
}

at::Tensor aten_attention_gradient(const at::Tensor& d_out, const at::Tensor& qkv, const at::Tensor& out,
                                   const at::Tensor& statistics, const PackedAttentionShape& s) {
  const Heads h(qkv, s);
  const int64_t rows = qkv.size(0), length = qkv.size(1);
  const auto heads = [&](const at::Tensor& x) { return x.view({rows, length, s.num_heads, s.head_size}).transpose(1, 2); };
  const auto unused = at::empty({}, qkv.options().dtype(at::kLong));  // the state of dropout's random numbers
  const auto [dq, dk, dv, d_scores] = at::_scaled_dot_product_efficient_attention_backward(
      heads(d_out), h.q, h.k, h.v, added_scores(h.q, s).value_or(at::Tensor()), heads(out), statistics, unused, unused, 0.0,
      {true, true, true, false}, s.causal);
  const auto flat = [&](const at::Tensor& x) { return x.transpose(1, 2).reshape({rows, length, -1}); };
  const auto joined = [&](const at::Tensor& x) {  // the sum over each group of heads
    if (s.num_heads == s.num_kv_heads) return flat(x);
    return flat(x.reshape({rows, s.num_kv_heads, s.num_heads / s.num_kv_heads, length, s.head_size}).sum(2));
  };
  return at::cat({flat(dq), joined(dk), joined(dv)}, 2);
}

cuda::RunAttention runs_of(const at::Tensor& qkv, const PackedAttentionShape& s) {
  constexpr const char* kName = "run_attention";
  const int64_t positions = qkv.size(0) * qkv.size(1);
  require(s.num_heads == s.num_kv_heads && s.head_size % 8 == 0 && s.head_size <= kLargestRunHead, kName,
          "heads must have keys of their own and a size of 8, 16, ..., 64");
  require_tensor(kName, "qkv", qkv, {qkv.size(0), qkv.size(1), 3 * s.num_heads * s.head_size}, at::kBFloat16, qkv.device());
  require_tensor(kName, "run_first", s.run_first, {positions}, at::kLong, qkv.device());
  require_tensor(kName, "run_end", s.run_end, {positions}, at::kLong, qkv.device());
  return {.positions = positions,
          .num_heads = s.num_heads,
          .head_size = s.head_size,
          .causal = s.causal,
          .first = s.run_first.const_data_ptr<int64_t>(),
          .end = s.run_end.const_data_ptr<int64_t>(),
          .packed = qkv.const_data_ptr()};
}

}  // namespace

std::string packed_attention_refusal(const PackedAttentionShape& s, int64_t rows, int64_t length, int64_t num_documents,
                                     bool scores) {
  return cuda::process_attention().refusal(cudnn_shape(s, rows, length, num_documents, scores));
}

std::string packed_attention_version() {
  const int64_t version = cuda::process_attention().cudnn_version();
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." + std::to_string(version % 100);
}

void place_documents(PackedAttentionShape& s, const at::Tensor& documents) {
  const int64_t count = documents.size(0) - 1;
  const auto starts = documents.to(at::kLong);
  s.lengths = documents.narrow(0, 1, count) - documents.narrow(0, 0, count);
  s.packed_places = starts * ((s.num_heads + 2 * s.num_kv_heads) * s.head_size);
  s.out_places = starts * (s.num_heads * s.head_size);
  s.statistics_places = starts * s.num_heads;
}

at::Tensor packed_scores(const at::Tensor& allowed) {
  const int64_t rows = allowed.size(0), length = allowed.size(-1);
  const auto buffer = at::full({rows, 1, length, cuda::score_stride(length)}, kUnseen, allowed.options().dtype(at::kBFloat16));
  return buffer.narrow(-1, 0, length).masked_fill_(allowed, 0);
}

at::Tensor packed_attention(const at::Tensor& qkv, const PackedAttentionShape& s, at::Tensor& statistics) {
  if (s.run_first.defined()) {
    auto out = at::empty({qkv.size(0), qkv.size(1), s.num_heads * s.head_size}, qkv.options());
    statistics = at::empty({qkv.size(0), qkv.size(1), s.num_heads}, qkv.options().dtype(at::kFloat));
    cuda::run_attention(runs_of(qkv, s), out.data_ptr(), statistics.data_ptr<float>(), c10::cuda::getCurrentCUDAStream());
    return out;
  }
  if (!s.cudnn) return aten_attention(qkv, s, statistics);
  const auto shape = cudnn_shape(qkv, s);
  const auto workspace = workspace_for(shape, qkv);
  auto out = at::empty({qkv.size(0), qkv.size(1), s.num_heads * s.head_size}, qkv.options());
  statistics = at::empty({qkv.size(0), s.num_heads, qkv.size(1)}, qkv.options().dtype(at::kFloat));
  cuda::process_attention().forward(shape, cudnn_inputs(qkv, s), out.data_ptr(), statistics.data_ptr<float>(),
                                    workspace.data_ptr(), c10::cuda::getCurrentCUDAStream());
  return out;
}

at::Tensor packed_attention_gradient(const at::Tensor& d_out, const at::Tensor& qkv, const at::Tensor& out,
                                     const at::Tensor& statistics, const PackedAttentionShape& s) {
  if (s.run_first.defined()) {
    auto d_qkv = at::empty_like(qkv);
    cuda::run_attention_backward(runs_of(qkv, s), out.const_data_ptr(), statistics.const_data_ptr<float>(),
                                 d_out.const_data_ptr(), d_qkv.data_ptr(), c10::cuda::getCurrentCUDAStream());
    return d_qkv;
  }
  if (!s.cudnn) return aten_attention_gradient(d_out, qkv, out, statistics, s);
  const auto shape = cudnn_shape(qkv, s);
  const auto workspace = workspace_for(shape, qkv);
  auto d_qkv = at::empty_like(qkv);
  cuda::process_attention().backward(shape, cudnn_inputs(qkv, s), out.const_data_ptr(), statistics.const_data_ptr<float>(),
                                     d_out.const_data_ptr(), d_qkv.data_ptr(), workspace.data_ptr(),
                                     c10::cuda::getCurrentCUDAStream());
  return d_qkv;
}
#else
namespace {
Error no_gpu() { return Error(ExitCode::internal, "packed attention needs a GPU"); }
}  // namespace

std::string packed_attention_refusal(const PackedAttentionShape&, int64_t, int64_t, int64_t, bool) { throw no_gpu(); }
std::string packed_attention_version() { throw no_gpu(); }
void place_documents(PackedAttentionShape&, const at::Tensor&) { throw no_gpu(); }
at::Tensor packed_scores(const at::Tensor&) { throw no_gpu(); }
at::Tensor packed_attention(const at::Tensor&, const PackedAttentionShape&, at::Tensor&) { throw no_gpu(); }
at::Tensor packed_attention_gradient(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                     const PackedAttentionShape&) {
  throw no_gpu();
}
#endif

}  // namespace lacuna
