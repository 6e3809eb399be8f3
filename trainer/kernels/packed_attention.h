// Attention that reads queries, keys and values where one product put them, and writes their gradients likewise, for fixed
// sequences of kernels; autograd sees none of it. bf16 on a GPU: by cuDNN, by ATen's memory-efficient attention where it is told to,
// or, inside of short runs of positions, by a kernel of our own (run_attention_cuda.h). Nothing is read on the host, so that all of it can be recorded.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

#include "trainer/kernels/run_attention_cuda.h"

namespace lacuna {

// Of one pass, the same for all of its layers: who attends, and who sees whom.
struct PackedAttentionShape {
  int64_t num_heads, num_kv_heads, head_size;
  bool causal = true;          // key <= query
  int64_t window = 0;          // with causal: how many positions a position sees, itself included; 0 = all before it
  bool deterministic = false;  // of the gradients
  bool cudnn = true;           // else ATen, which knows neither window nor documents: they are to be in `scores`

  // Where documents lie, of which a position sees its own alone; place_documents() fills them in.
  at::Tensor lengths = {}, packed_places = {}, out_places = {}, statistics_places = {};
  at::Tensor scores = {};  // (B or 1, 1, T, T) as packed_scores() makes them: added to the scores of every head
  // (B T) int64 each: where the run of a position begins and ends, counted over all rows. It sees those of its run alone.
  at::Tensor run_first = {}, run_end = {};
};

using cuda::kLargestRunHead;  // of attention inside of runs

// Why cuDNN does not do this, in words for the user; empty where it does. The first call of a kind takes up to a second or two.
// Of documents and scores it is enough to say what will be there.
std::string packed_attention_refusal(const PackedAttentionShape& shape, int64_t rows, int64_t length, int64_t num_documents,
                                     bool scores);
// Such as "9.19.0".
std::string packed_attention_version();

// Of Batch::documents, on the device.
void place_documents(PackedAttentionShape& shape, const at::Tensor& documents);
// Zero where `allowed` (B or 1, 1, T, T), and so little elsewhere that its exponential is zero.
at::Tensor packed_scores(const at::Tensor& allowed);

// qkv (B, T, (H + 2 K) d) -> (B, T, H d); scores are scaled by 1/sqrt(d). statistics: what the derivative needs of the softmax.
at::Tensor packed_attention(const at::Tensor& qkv, const PackedAttentionShape& shape, at::Tensor& statistics);

// The gradient of qkv.
at::Tensor packed_attention_gradient(const at::Tensor& d_out, const at::Tensor& qkv, const at::Tensor& out,
                                     const at::Tensor& statistics, const PackedAttentionShape& shape);

}  // namespace lacuna
