#include "trainer/kernels/packed_attention.h"

#include "data/error.h"
#ifdef LACUNA_CUDA
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAStream.h>

#include "trainer/kernels/attention_cuda.h"
#endif

namespace lacuna {

#ifdef LACUNA_CUDA
namespace {

cuda::AttentionShape shape_of(const at::Tensor& qkv, const PackedAttentionShape& s) {
  return {.batch = qkv.size(0),
          .length = qkv.size(1),
          .num_heads = s.num_heads,
          .num_kv_heads = s.num_kv_heads,
          .head_size = s.head_size,
          .mask = s.causal ? cuda::AttentionMask::causal : cuda::AttentionMask::full,
          .deterministic = s.deterministic};
}

at::Tensor workspace_for(const cuda::AttentionShape& shape, const at::Tensor& like) {
  return at::empty({cuda::process_attention().workspace_bytes(shape)}, like.options().dtype(at::kByte));
}

}  // namespace

at::Tensor packed_attention(const at::Tensor& qkv, const PackedAttentionShape& s, at::Tensor& statistics) {
  const auto shape = shape_of(qkv, s);
  const auto workspace = workspace_for(shape, qkv);
  auto out = at::empty({qkv.size(0), qkv.size(1), s.num_heads * s.head_size}, qkv.options());
  statistics = at::empty({qkv.size(0), s.num_heads, qkv.size(1)}, qkv.options().dtype(at::kFloat));
  cuda::process_attention().forward(shape, qkv.const_data_ptr(), out.data_ptr(), statistics.data_ptr<float>(), workspace.data_ptr(),
                                    c10::cuda::getCurrentCUDAStream());
  return out;
}

at::Tensor packed_attention_gradient(const at::Tensor& d_out, const at::Tensor& qkv, const at::Tensor& out,
                                     const at::Tensor& statistics, const PackedAttentionShape& s) {
  const auto shape = shape_of(qkv, s);
  const auto workspace = workspace_for(shape, qkv);
  auto d_qkv = at::empty_like(qkv);
  cuda::process_attention().backward(shape, qkv.const_data_ptr(), out.const_data_ptr(), statistics.const_data_ptr<float>(),
                                     d_out.const_data_ptr(), d_qkv.data_ptr(), workspace.data_ptr(),
                                     c10::cuda::getCurrentCUDAStream());
  return d_qkv;
}
#else
at::Tensor packed_attention(const at::Tensor&, const PackedAttentionShape&, at::Tensor&) {
  throw Error(ExitCode::internal, "packed attention needs a GPU");
}

at::Tensor packed_attention_gradient(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                     const PackedAttentionShape&) {
  throw Error(ExitCode::internal, "packed attention needs a GPU");
}
#endif

}  // namespace lacuna
